//! A real Redis server for tests, started on a socket of its own and stopped on drop; and, in `link`, a [`Link`] to it
//! that a test can break.
//!
//! The server binary is searched in this order: `STREAMGATE_TEST_REDIS_SERVER`, then `redis-server`
//! and `valkey-server` on the `PATH`. `make test` sets the variable, and installs a server if the
//! machine has none.
//!
//! Every failure here panics, so that the test fails.

mod link;

pub use link::Link;

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::{Cmd, FromRedisValue};
use tempfile::TempDir;

/// Names the server binary to test against.
pub const SERVER_VARIABLE: &str = "STREAMGATE_TEST_REDIS_SERVER";

/// If a condition does not hold within this time, the test fails. It is much longer than any condition needs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running Redis or Valkey server with a folder of its own.
pub struct RedisServer {
    folder: TempDir,
    options: Vec<String>,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a server without persistence.
    pub fn start() -> Self {
        Self::start_with(&["--save", ""])
    }

    /// Starts a server whose append-only file survives [`RedisServer::kill`] and
    /// [`RedisServer::restart`].
    pub fn start_durable() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts a server with further options, as on its command line.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_on(options, |_| ())
    }

    /// Starts a server in a folder into which `fill` has put files, such as a backup.
    pub fn start_on(options: &[&str], fill: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("streamgate-").tempdir().expect("a temporary folder");
        fill(folder.path());
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { folder, options, process: None };
        server.restart();
        server
    }

    /// The URL to connect to, with the password if its options require one.
    pub fn url(&self) -> String {
        let socket = self.socket();
        match self.password() {
            Some(password) => format!("unix://{}?pass={password}", socket.display()),
            None => format!("unix://{}", socket.display()),
        }
    }

    /// The process id; `None` while the server is down.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Runs a command on a connection of its own.
    pub fn run<T: FromRedisValue>(&self, cmd: &Cmd) -> T {
        self.try_run(cmd).expect("the command succeeds")
    }

    /// Runs a command given as words.
    pub fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut cmd = redis::cmd(words[0]);
        for word in &words[1..] {
            cmd.arg(*word);
        }
        self.run(&cmd)
    }

    /// The correlation ids on a stream of requests or replies, in order; an entry may have several.
    pub fn ids_on(&self, stream: &str) -> Vec<String> {
        type Entry = (String, Vec<(String, Vec<u8>)>);
        let entries: Vec<Entry> = self.command(&["XRANGE", stream, "-", "+"]);
        let fields = entries.into_iter().flat_map(|(_, fields)| fields);
        let ids = fields.filter(|(name, _)| name == "id").map(|(_, id)| id);
        ids.map(|id| String::from_utf8(id).expect("an id is text")).collect()
    }

    /// Runs a command that may fail.
    ///
    /// # Errors
    /// The connection or the command failed.
    pub fn try_run<T: FromRedisValue>(&self, cmd: &Cmd) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        cmd.query(&mut client.get_connection_with_timeout(PATIENCE)?)
    }

    /// Kills the server (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts the server again on the same socket and folder; kills it first if it runs.
    pub fn restart(&mut self) {
        self.restart_unready(&[]);
        eventually("the Redis server answers", || {
            self.try_run::<String>(&redis::cmd("PING")).is_ok_and(|pong| pong == "PONG")
        });
    }

    /// Restarts the server with further options, and returns once it listens; it may still be loading its data.
    pub fn restart_unready(&mut self, options: &[&str]) {
        self.kill();
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log file");
        let process = Command::new(server_binary())
            .args(["--port", "0", "--unixsocket", &self.socket().display().to_string()])
            .args(["--dir", &self.folder.path().display().to_string()])
            // A replica is served at once; by default the server waits five seconds for further replicas.
            .args(["--repl-diskless-sync-delay", "0"])
            .args(&self.options)
            .args(options)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("the Redis server starts");
        self.process = Some(process);
        eventually("the Redis server listens", || UnixStream::connect(self.socket()).is_ok());
    }

    /// Makes it a replica of `primary`, and waits until it has all data of `primary`.
    pub fn follow(&self, primary: &Self) {
        let port = primary.listen_on_tcp().to_string();
        let _: () = self.command(&["REPLICAOF", "127.0.0.1", &port]);
        eventually("the replica follows", || {
            self.command::<String>(&["INFO", "replication"]).contains("master_link_status:up")
        });
    }

    /// Makes a replica a primary.
    pub fn lead(&self) {
        let _: () = self.command(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Listens on a free TCP port, because replicas connect over TCP only. If another process takes the port first,
    /// tries another one.
    fn listen_on_tcp(&self) -> u16 {
        let mut port = 0;
        eventually("the server listens on a TCP port", || {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            port = free.expect("a free port").port();
            let mut listen = redis::cmd("CONFIG");
            listen.arg("SET").arg("port").arg(port);
            self.try_run::<()>(&listen).is_ok()
        });
        port
    }

    /// Pauses its process (SIGSTOP): connections stay open, but the server does not answer.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Resumes its process (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the server runs");
        kill(Pid::from_raw(process.id() as i32), signal).expect("the signal is sent");
    }

    /// The folder with its data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The Unix socket on which it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn password(&self) -> Option<&str> {
        let position = self.options.iter().position(|option| option == "--requirepass")?;
        self.options.get(position + 1).map(String::as_str)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// It does not hold within [`PATIENCE`].
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `condition` holds, without blocking the runtime.
///
/// # Panics
/// It does not hold within [`PATIENCE`].
pub async fn eventually_async(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn server_binary() -> PathBuf {
    if let Some(path) = std::env::var_os(SERVER_VARIABLE) {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = |name: &str| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| is_file(p));
    on_path("redis-server").or_else(|| on_path("valkey-server")).unwrap_or_else(|| {
        panic!("no Redis server: run `make test`, which installs one, or set {SERVER_VARIABLE} to a redis-server or valkey-server")
    })
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file())
}
