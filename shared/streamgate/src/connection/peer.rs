//! The server at the other end of a connection: its identity, its role, and its number for the connection.

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};

use super::error::{Error, ErrorKind, checked};

/// What a server tells about itself on a new connection. If the user may not ask for a value, the value is `None` and
/// is not compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Peer {
    /// The number of this connection on the server.
    pub(super) client_id: Option<i64>,
    /// The identity of the server: its `run_id`, from INFO. Its address is no identity, because one server may have
    /// several addresses.
    pub(super) server: Option<String>,
}

/// The commands that ask for it: CLIENT ID, HELLO (the role), INFO server (`run_id`).
pub(super) fn introduction() -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(3);
    pipeline.cmd("CLIENT").arg("ID");
    pipeline.cmd("HELLO");
    pipeline.cmd("INFO").arg("server");
    pipeline
}

/// Asks the server at the other end for its identity and role.
pub(super) async fn meet(connection: &mut MultiplexedConnection) -> Result<Peer, Error> {
    let pipeline = introduction();
    Peer::read(connection.send_packed_commands(&pipeline, 0, pipeline.len()).await?)
}

impl Peer {
    /// Reads the answers to [`introduction`].
    ///
    /// # Errors
    /// The server accepts no clients now, or it is no primary.
    pub(super) fn read(answers: Vec<Value>) -> Result<Self, Error> {
        let [id, hello, info] =
            <[Value; 3]>::try_from(answers).map_err(|_| Error::unexpected("CLIENT ID", &Value::Nil))?;
        // A server that refuses the connection (too many clients, or none from this host) sends that error as if it
        // were the answer to the first command.
        let client_id = match checked(id) {
            Ok(Value::Int(id)) => Some(id),
            Ok(other) => return Err(Error::unexpected("CLIENT ID", &other)),
            Err(error) if error.kind() == ErrorKind::NotPermitted => None,
            Err(error) if error.kind() != ErrorKind::Refused => return Err(error),
            Err(error) => return Err(Error::new(ErrorKind::Unreachable, error.to_string())),
        };
        if is_primary(&hello) == Some(false) {
            return Err(Error::new(ErrorKind::NotPrimary, "it is a replica"));
        }
        let run_id = text(&info).and_then(|info| {
            info.lines().find_map(|line| Some(line.strip_prefix("run_id:")?.trim().to_owned()))
        });
        Ok(Self { client_id, server: run_id })
    }
}

/// Whether the answer to HELLO names the role of a primary; `None` if it names no role.
pub(crate) fn is_primary(hello: &Value) -> Option<bool> {
    let Value::Array(parts) = hello else { return None };
    let role = parts.chunks_exact(2).find(|pair| text(&pair[0]) == Some("role"))?;
    Some(text(&role[1])? == "master")
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answers: [&str; 3]) -> Result<Peer, Error> {
        let value = |text: &str| {
            let text = match text.strip_prefix('$') {
                Some(bulk) => format!("${}\r\n{bulk}", bulk.len()),
                None => text.to_owned(),
            };
            redis::parse_redis_value(format!("{text}\r\n").as_bytes()).expect("RESP2")
        };
        Peer::read(answers.map(value).to_vec())
    }

    const DENIED: &str = "-NOPERM User u has no permissions";
    const PRIMARY: &str = "*2\r\n$4\r\nrole\r\n$6\r\nmaster";

    #[test]
    fn the_identity_of_a_server_is_read() {
        let peer = read([":7", PRIMARY, "$# Server\r\nrun_id:abc\r\n"]);

        assert_eq!(peer.expect("a primary"), Peer { client_id: Some(7), server: Some("abc".to_owned()) });
    }

    #[test]
    fn a_value_that_the_user_may_not_ask_for_is_unknown() {
        assert_eq!(read([DENIED, DENIED, DENIED]).expect("good"), Peer::default());
    }

    #[test]
    fn a_replica_and_a_server_that_takes_no_clients_are_refused() {
        let kind = |answers| read(answers).expect_err("refused").kind();

        let replica = "*2\r\n$4\r\nrole\r\n$7\r\nreplica";
        assert_eq!(kind([":7", replica, DENIED]), ErrorKind::NotPrimary);
        let full = "-ERR max number of clients reached";
        assert_eq!(kind([full, full, full]), ErrorKind::Unreachable);
        let loading = "-LOADING Redis is loading the dataset in memory";
        assert_eq!(kind([loading, loading, loading]), ErrorKind::NotServing);
    }
}
