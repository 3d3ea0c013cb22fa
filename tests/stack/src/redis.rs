//! A Redis or Valkey server: which program, with which options, and whether it answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

/// Names the server's program.
pub const SERVER_VARIABLE: &str = "STREAMGATE_TEST_REDIS_SERVER";

/// How Redis keeps its data in deploy/ and k8s/.
pub const DURABLE: [&str; 8] =
    ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"];

/// How long a server may answer nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// The program of a server: what [`SERVER_VARIABLE`] names, or what `scripts/redis_server.py` finds or installs.
///
/// # Errors
/// There is none; the script has said how to get one.
pub fn find() -> anyhow::Result<PathBuf> {
    if let Some(program) = std::env::var_os(SERVER_VARIABLE) {
        return Ok(program.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(&python);
    // What it says about an installation, or the want of a server, is for people.
    command.arg("scripts/redis_server.py").current_dir(root).stderr(Stdio::inherit());
    let asked = command.output().with_context(|| format!("{python:?} cannot be started"))?;
    if !asked.status.success() {
        bail!("there is no Redis server to start");
    }
    Ok(String::from_utf8_lossy(&asked.stdout).trim().into())
}

/// The kind of a server, `redis` or `valkey`, and its version; 0.0 if it tells none.
///
/// # Errors
/// The program cannot be started.
pub fn identify(program: &Path) -> anyhow::Result<(String, (u32, u32))> {
    let asked = Command::new(program).arg("--version").output();
    let asked = asked.with_context(|| format!("{} cannot be started", program.display()))?;
    Ok(identity(&String::from_utf8_lossy(&asked.stdout)))
}

/// `Redis server v=7.0.15 sha=…` and `Valkey server v=9.1.2 sha=…` are what servers print.
fn identity(text: &str) -> (String, (u32, u32)) {
    let parsed = || {
        let (kind, rest) = text.split_once(" server v=")?;
        let mut numbers = rest.split(['.', ' ']).map(str::parse);
        Some((kind.trim().to_lowercase(), (numbers.next()?.ok()?, numbers.next()?.ok()?)))
    };
    parsed().unwrap_or_else(|| ("redis".to_owned(), (0, 0)))
}

/// Has the server of `command` listen on a loopback port and keep its files in `folder`.
pub fn listen(command: &mut Command, port: u16, folder: &Path) {
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(folder);
}

/// True if the server on this loopback port has its data loaded and answers.
pub fn answers(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    ask().is_ok_and(|answer| answer == *b"+PONG")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_what_it_prints() {
        let valkey = identity("Valkey server v=9.1.2 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1");

        assert_eq!(valkey, ("valkey".to_owned(), (9, 1)));
        assert_eq!(identity("Redis server v=7.0.15 sha=0\n"), ("redis".to_owned(), (7, 0)));
        assert_eq!(identity("hello"), ("redis".to_owned(), (0, 0)));
    }
}
