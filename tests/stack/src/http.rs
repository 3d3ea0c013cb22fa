//! One request over a connection of its own, for processes on this machine.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Status and body of the answer to a GET of `url`, or to a POST of `json` if there is any.
///
/// # Errors
/// There is no answer in time, or none that can be read.
pub fn ask(url: &str, json: Option<&str>, patience: Duration) -> io::Result<(u16, String)> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let (method, body) = json.map_or(("GET", ""), |json| ("POST", json));
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    let content = format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(format!("{head}{content}").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("what answers speaks no HTTP"))?;
    Ok((status, answer.split_once("\r\n\r\n").unwrap_or_default().1.to_owned()))
}

/// True if the process at `url` says that it is ready.
pub fn is_ready(url: &str) -> bool {
    ask(&format!("{url}/readyz"), None, Duration::from_secs(2)).is_ok_and(|(status, _)| status == 200)
}
