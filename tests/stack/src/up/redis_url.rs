//! Asks the server that a REDIS_URL names for a sign of life, so that a wrong URL is told at once.
//!
//! Never shows a password. Over TLS only the connection is tried: the processes tell the rest in their logs.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const PLAIN: [&str; 2] = ["redis", "valkey"];
const TLS: [&str; 2] = ["rediss", "valkeys"];
const SOCKETS: [&str; 3] = ["unix", "redis+unix", "valkey+unix"];
/// What ingress and proxy say about a text that is no URL.
const FORM: &str = "must be a URL such as redis://127.0.0.1:6379, rediss://user:password@host:6380/0 or unix:///path/to/redis.sock";
const PASSWORD: &str = "; characters such as / @ : # in a password must be percent-encoded";

/// Why the server cannot be used; `None` if it can, or if the URL is of a kind unknown here.
pub(crate) fn problem(url: &str, patience: Duration) -> Option<String> {
    let Some(parts) = Parts::of(url) else {
        // The URL may show a part of the password.
        let advice = if url.contains("://") { PASSWORD } else { "" };
        return Some(format!("it {FORM}{advice}"));
    };
    let place = parts.place();
    let asked = if SOCKETS.contains(&parts.scheme) {
        UnixStream::connect(&*place).and_then(|socket| {
            socket.set_read_timeout(Some(patience))?;
            parts.greet(&socket, &socket)
        })
    } else if PLAIN.contains(&parts.scheme) {
        connect(&place, patience).and_then(|socket| parts.greet(&socket, &socket))
    } else if TLS.contains(&parts.scheme) {
        connect(&place, patience).map(|_| None)
    } else {
        Ok(None)
    };
    asked.unwrap_or_else(|error| {
        let error = error.to_string();
        let reason = error.split(" (os error").next().unwrap_or_default();
        Some(format!("cannot reach {place}: {reason}"))
    })
}

/// The URL without its password, for people.
pub(crate) fn shown(url: &str) -> String {
    let Some(Parts { scheme, login, host, path, .. }) = Parts::of(url) else { return "REDIS_URL".to_owned() };
    match login {
        Some((user, Some(_))) => format!("{scheme}://{user}:***@{host}{path}"),
        Some((user, None)) => format!("{scheme}://{user}@{host}{path}"),
        None => format!("{scheme}://{host}{path}"),
    }
}

/// True if the URL may show a secret.
pub(crate) fn is_secret(url: &str) -> bool {
    Parts::of(url)
        .is_none_or(|Parts { login, query, .. }| login.is_some() || !query.is_empty() || url.contains('#'))
}

/// `scheme://user:password@host:port/database`, `unix:///path?user=…&pass=…&db=…`.
struct Parts<'a> {
    scheme: &'a str,
    login: Option<(&'a str, Option<&'a str>)>,
    host: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    /// `None` if the port is no number, as behind a password with a `/`.
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let rest = rest.split('#').next()?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (login, host) =
            authority.rsplit_once('@').map_or((None, authority), |(login, host)| (Some(login), host));
        let login =
            login.map(|it| it.split_once(':').map_or((it, None), |(user, password)| (user, Some(password))));
        let port = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return None;
        }
        Some(Self { scheme, login, host, path, query })
    }

    /// The path of the socket, or host and port.
    fn place(&self) -> Cow<'a, str> {
        if SOCKETS.contains(&self.scheme) {
            return decoded(self.path).into();
        }
        let host = if self.host.is_empty() { "127.0.0.1" } else { self.host };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        if has_port { host.into() } else { format!("{host}:6379").into() }
    }

    /// User, password and database; empty if there is none.
    fn credentials(&self) -> [String; 3] {
        if SOCKETS.contains(&self.scheme) {
            return ["user", "pass", "db"].map(|name| {
                let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.rfind(|(it, _)| *it == name).map_or_else(String::new, |(_, value)| decoded(value))
            });
        }
        let (user, password) = self.login.unwrap_or_default();
        [decoded(user), decoded(password.unwrap_or_default()), self.path.trim_matches('/').to_owned()]
    }

    /// Logs in, chooses the database and sends PING, as the binaries will.
    fn greet(&self, mut socket: impl Write, answers: impl Read) -> io::Result<Option<String>> {
        let place = self.place();
        let mut answers = BufReader::new(answers);
        let mut ask = |words: &[&str]| {
            let sent: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
            socket.write_all(format!("*{}\r\n{sent}", words.len()).as_bytes())?;
            let mut answer = Vec::new();
            answers.by_ref().take(1024).read_until(b'\n', &mut answer)?;
            let answer = String::from_utf8_lossy(&answer).trim().to_owned();
            io::Result::Ok(Some(answer).filter(|it| it.starts_with(['+', '-'])).unwrap_or_default())
        };
        let [user, password, database] = self.credentials();
        if !password.is_empty() {
            let login = ["AUTH", &user, &password];
            let answer = if user.is_empty() { ask(&["AUTH", &password])? } else { ask(&login)? };
            // Not quoted: a server that has no AUTH repeats its arguments.
            if let Some(error) = answer.strip_prefix('-') {
                let code = error.split(' ').next().unwrap_or_default();
                return Ok(Some(format!("{place} refuses the user name or the password ({code})")));
            }
        }
        let answer = ask(&["PING"])?;
        if answer.starts_with("-NOAUTH") {
            return Ok(Some(format!("{place} wants a password, and there is none")));
        }
        if answer.is_empty() {
            return Ok(Some(format!("what answers at {place} is no Redis server, or wants TLS (rediss://)")));
        }
        if !database.is_empty() && ask(&["SELECT", &database])?.starts_with("-ERR") {
            return Ok(Some(format!("{place} has no database {database}")));
        }
        Ok(None)
    }
}

fn connect(place: &str, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(socket) => {
                socket.set_read_timeout(Some(patience))?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Without percent-encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match hex.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;

    use stack::process::PATIENCE;
    use stack::{Process, clean, free_address, redis};
    use tempfile::TempDir;

    use super::*;

    const PASSWORD: &str = "s3cret/@:";
    const ENCODED: &str = "s3cret%2F%40%3A";

    fn check(url: &str) -> Option<String> {
        problem(url, Duration::from_secs(5))
    }

    /// A server with a password, its port and its folder.
    fn server() -> (Process, u16, TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_address().expect("a port").port();
        let mut command = clean(redis::find().expect("a server"));
        redis::listen(&mut command, port, folder.path());
        command.args(["--save", "", "--requirepass", PASSWORD, "--unixsocket"]).arg(socket(folder.path()));
        let mut process = Process::start("redis", command).expect("a server");
        let url = format!("redis://:{ENCODED}@127.0.0.1:{port}");
        process.until("Redis answers", PATIENCE, |_| check(&url).is_none()).expect("it answers");
        (process, port, folder)
    }

    fn socket(folder: &Path) -> String {
        folder.join("redis.sock").display().to_string()
    }

    #[test]
    fn a_login_that_fails_is_told_without_the_password() {
        let (_server, port, folder) = server();

        for url in [
            format!("redis://:{ENCODED}@127.0.0.1:{port}/3"),
            format!("redis://default:{ENCODED}@localhost:{port}"),
            format!("unix://{}?pass={ENCODED}", socket(folder.path())),
        ] {
            assert_eq!(check(&url), None, "{url}");
        }
        let wrong = check(&format!("redis://:hunter2@127.0.0.1:{port}"));
        assert_eq!(
            wrong,
            Some(format!("127.0.0.1:{port} refuses the user name or the password (WRONGPASS)"))
        );
        let none = check(&format!("redis://127.0.0.1:{port}"));
        assert!(none.is_some_and(|it| it.contains("wants a password")));
        let database = check(&format!("redis://:{ENCODED}@127.0.0.1:{port}/99"));
        assert!(database.is_some_and(|it| it.contains("no database 99")));
    }

    #[test]
    fn a_url_that_its_password_breaks_is_told_without_it() {
        let problem = check("redis://:hunter2/x@127.0.0.1:6379").expect("a problem");

        assert!(problem.contains("percent-encoded") && !problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn a_text_that_is_no_url_is_told_in_the_words_of_ingress() {
        for text in ["127.0.0.1:6379", "redis:/:hunter2@x"] {
            assert_eq!(check(text), Some(format!("it {FORM}")));
        }
        let ingress = include_str!("../../../../shared/streamgate/src/connection/url.rs");
        assert!(ingress.contains(FORM));
    }

    #[test]
    fn a_url_without_a_login_is_no_secret() {
        assert!(!is_secret("redis://127.0.0.1:6379") && !is_secret("rediss://host:6380/1"));
        for url in
            ["redis://user:pw@host", "redis://:pw@host", "unix:///a.sock?pass=pw", "redis://:a/b@h:1", "pw"]
        {
            assert!(is_secret(url), "{url}");
        }
    }

    #[test]
    fn a_server_that_cannot_be_reached_is_told() {
        let port = free_address().expect("a port").port();

        for scheme in ["redis", "rediss"] {
            let problem = check(&format!("{scheme}://127.0.0.1:{port}"));
            assert_eq!(problem, Some(format!("cannot reach 127.0.0.1:{port}: Connection refused")));
        }
        assert!(check("unix:///nowhere.sock").is_some_and(|it| it.starts_with("cannot reach /nowhere.sock")));
    }

    #[test]
    fn a_server_of_another_protocol_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a connection");
            let _ = socket.read(&mut [0; 1024]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });

        assert!(
            check(&format!("redis://127.0.0.1:{port}")).is_some_and(|it| it.contains("is no Redis server"))
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(shown("redis://user:p@ss@host:1/2"), "redis://user:***@host:1/2");
        assert_eq!(shown("redis://:pw@host"), "redis://:***@host");
        assert_eq!(shown("unix:///a.sock?pass=pw"), "unix:///a.sock");
        assert_eq!(shown("redis://127.0.0.1:6379"), "redis://127.0.0.1:6379");
    }
}
