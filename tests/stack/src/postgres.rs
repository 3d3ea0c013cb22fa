//! A PostgreSQL server in a folder of its own, on a socket in that folder. It ends with its owner.

use std::io::PipeWriter;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::unistd::{Uid, User};

/// Names the folder of the server's programs.
pub const PROGRAMS_VARIABLE: &str = "STREAMGATE_TEST_POSTGRES";

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// A server refuses to run as root: then it runs as this user, who owns its folder.
const NOT_ROOT: &str = "nobody";

/// Runs a server until the shell's input ends, which it does with the owner, however that ends. SIGQUIT ends a server
/// at once, as a crash would.
const WITH_OWNER: &str = r#""$@" </dev/null & server=$!; read -r _; kill -QUIT $server; wait $server"#;

/// The folder of the programs of a server: what [`PROGRAMS_VARIABLE`] names, or what `scripts/postgres_server.py`
/// finds or installs.
///
/// # Errors
/// There is none; the text says how to get one.
pub fn find() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os(PROGRAMS_VARIABLE) {
        return Ok(folder.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let asked = Command::new(&python).arg("scripts/postgres_server.py").current_dir(root).output();
    let asked = asked.with_context(|| format!("{python:?} cannot be started"))?;
    if !asked.status.success() {
        bail!("{}", String::from_utf8_lossy(&asked.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&asked.stdout).trim().into())
}

/// A running server.
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    options: Vec<String>,
    /// On loopback; without one it listens on a socket in its folder only.
    port: Option<u16>,
    running: Option<(Child, PipeWriter)>,
}

impl Postgres {
    /// Starts a server with its data in `folder`, which it makes if there is none. Options are as on its command line.
    ///
    /// # Errors
    /// It does not start; the text has what it said.
    pub fn start(programs: &Path, folder: &Path, options: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(programs, folder, options, None)
    }

    /// The same, also on a loopback port.
    ///
    /// # Errors
    /// It does not start; the text has what it said.
    pub fn start_on_port(programs: &Path, folder: &Path, port: u16) -> anyhow::Result<Self> {
        Self::start_with(programs, folder, &[], Some(port))
    }

    fn start_with(
        programs: &Path,
        folder: &Path,
        options: &[&str],
        port: Option<u16>,
    ) -> anyhow::Result<Self> {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let (programs, folder) = (programs.to_owned(), folder.to_owned());
        let mut server = Self { programs, folder, options, port, running: None };
        if !server.data().is_dir() {
            server.make()?;
        }
        server.restart()?;
        Ok(server)
    }

    /// The URL of a database; `postgres` is there from the start.
    pub fn url(&self, database: &str) -> String {
        match self.port {
            Some(port) => format!("postgres://events@127.0.0.1:{port}/{database}"),
            None => format!("postgres://events@localhost/{database}?host={}", self.folder.display()),
        }
    }

    /// Ends it at once, as a crash would.
    pub fn crash(&mut self) {
        if let Some((mut child, input)) = self.running.take() {
            drop(input);
            let _ = child.wait();
        }
    }

    /// Starts it again on the same folder.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.crash();
        let log = std::fs::File::create(self.folder.join("log"))?;
        let (reader, writer) = std::io::pipe()?;
        let server = self.program("postgres");
        let mut shell = Command::new("sh");
        shell.args(["-c", WITH_OWNER, "sh"]).arg(server.get_program()).arg("-D").arg(self.data());
        let (addresses, port) = self.port.map_or(("", 5_432), |port| ("127.0.0.1", port));
        shell.arg("-k").arg(&self.folder).args(["-p", &port.to_string()]);
        shell.args(["-c", &format!("listen_addresses={addresses}")]).args(&self.options);
        shell.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.current_dir(&self.folder).stdin(reader).stdout(log.try_clone()?).stderr(log);
        let child = as_user(&mut shell)?.spawn().context("sh cannot be started")?;
        self.running = Some((child, writer));
        let started = Instant::now();
        let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        while !(log().contains("database system is ready to accept connections")
            && UnixStream::connect(self.folder.join(format!(".s.PGSQL.{port}"))).is_ok())
        {
            let ended =
                self.running.as_mut().is_some_and(|(child, _)| matches!(child.try_wait(), Ok(Some(_))));
            if ended || started.elapsed() > PATIENCE {
                bail!("PostgreSQL did not start: {}", log());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Makes the data folder. Nobody but this machine's users can connect, so no password is needed.
    fn make(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        if let Some(user) = other_user()? {
            chown(&self.folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        std::fs::set_permissions(&self.folder, std::fs::Permissions::from_mode(0o755))?;
        let mut command = self.program("initdb");
        command.arg("-D").arg(self.data()).args(["-U", "events", "-A", "trust", "-E", "UTF8", "--no-sync"]);
        command.args(["--locale", "C.UTF-8"]).current_dir(&self.folder);
        said(as_user(&mut command)?)
    }

    /// One of the server's programs. Unpacked packages bring libraries that lie beside them.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C.UTF-8");
        if self.programs.components().any(|part| part.as_os_str() == ".tools") {
            let libraries = self.programs.ancestors().nth(3).map(std::fs::read_dir);
            let folders = libraries.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
            if let Ok(path) = std::env::join_paths(folders.filter(|folder| folder.is_dir())) {
                command.env("LD_LIBRARY_PATH", path);
            }
        }
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.crash();
    }
}

/// The user that runs the server if this process is root's.
fn other_user() -> anyhow::Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name(NOT_ROOT)?;
    Ok(Some(
        user.with_context(|| format!("PostgreSQL does not run as root, and there is no user {NOT_ROOT}"))?,
    ))
}

fn as_user(command: &mut Command) -> anyhow::Result<&mut Command> {
    if let Some(user) = other_user()? {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    Ok(command)
}

/// Runs a program to its end; what it said is the error.
fn said(command: &mut Command) -> anyhow::Result<()> {
    let done = command.output().with_context(|| format!("{:?} cannot be started", command.get_program()))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{} failed: {}", command.get_program().display(), said.trim());
    }
    Ok(())
}
