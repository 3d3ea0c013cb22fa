//! Who is at the other end of a connection: which server, in which role, and what it calls the connection.

use redis::{Pipeline, Value};

use super::error::{Error, ErrorKind, checked};

/// What a server says of itself on a new connection. A user may not be allowed to ask; what is then not
/// known is not compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Peer {
    /// What Redis calls this connection.
    pub(super) client_id: Option<i64>,
    /// The server: its `run_id`. Without INFO it is not known: a server's own address says nothing, because one
    /// server may have several.
    pub(super) server: Option<String>,
}

/// Asks all there is to ask: CLIENT ID, HELLO (the role), INFO server (`run_id`).
pub(super) fn introduction() -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(3);
    pipeline.cmd("CLIENT").arg("ID");
    pipeline.cmd("HELLO");
    pipeline.cmd("INFO").arg("server");
    pipeline
}

impl Peer {
    /// Reads the answers to [`introduction`].
    ///
    /// # Errors
    /// The server serves nobody now, or it is no primary.
    pub(super) fn read(answers: Vec<Value>) -> Result<Self, Error> {
        let [id, hello, info] =
            <[Value; 3]>::try_from(answers).map_err(|_| Error::unexpected("CLIENT ID", &Value::Nil))?;
        // At least one command has to be answered: a server that takes no more clients, or none from here,
        // says so as if it were an answer.
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

/// What HELLO says of the role; `None` if it does not say.
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
    fn a_server_tells_who_it_is() {
        let peer = read([":7", PRIMARY, "$# Server\r\nrun_id:abc\r\n"]);

        assert_eq!(peer.expect("a primary"), Peer { client_id: Some(7), server: Some("abc".to_owned()) });
    }

    #[test]
    fn what_the_user_may_not_ask_is_unknown() {
        assert_eq!(read([DENIED, DENIED, DENIED]).expect("good"), Peer::default());
    }

    #[test]
    fn a_replica_and_a_server_that_serves_nobody_are_refused() {
        let kind = |answers| read(answers).expect_err("refused").kind();

        let replica = "*2\r\n$4\r\nrole\r\n$7\r\nreplica";
        assert_eq!(kind([":7", replica, DENIED]), ErrorKind::NotPrimary);
        let full = "-ERR max number of clients reached";
        assert_eq!(kind([full, full, full]), ErrorKind::Unreachable);
        let loading = "-LOADING Redis is loading the dataset in memory";
        assert_eq!(kind([loading, loading, loading]), ErrorKind::NotServing);
    }
}
