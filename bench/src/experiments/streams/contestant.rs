//! Who takes part, and how each is built and started.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::lab::Lab;

/// One way to append entries and to consume them.
pub(super) struct Contestant {
    pub(super) name: &'static str,
    program: Program,
    /// Its phase in which it consumes.
    pub(super) consume: &'static str,
    /// The most entries that it gets: a rate needs no more of them if it is low.
    pub(super) most: usize,
    /// Whether it works with a stream and a group.
    pub(super) streams: bool,
}

enum Program {
    /// bench-peer, which is always there.
    Own(&'static str),
    /// The crate bench/peers/rust, which is built on demand.
    Rust(&'static str),
    /// A Python script, whose packages are installed on demand.
    Python(&'static str),
}

/// What others are compared with.
pub(super) const PLAIN: &str = "plain commands";
/// What is measured.
pub(super) const LIBRARY: &str = "**streamgate**";
/// The same with few entries waiting: only its memory counts.
pub(super) const FEW: &str = "streamgate, few entries waiting";
const SLOW: usize = 50_000;
/// Its script hands all waiting jobs to one Lua `unpack`, which fails from about 8,000 on.
const APALIS: usize = 7_500;

pub(super) const CONTESTANTS: [Contestant; 7] = [
    Contestant::new(PLAIN, Program::Own("plain"), usize::MAX),
    Contestant::new(LIBRARY, Program::Own("library"), usize::MAX),
    Contestant::new(FEW, Program::Own("library"), 10_000),
    Contestant::new("sea-streamer-redis 0.5.2", Program::Rust("sea-streamer"), usize::MAX),
    Contestant { streams: false, ..Contestant::new("apalis-redis 1.0.0", Program::Rust("apalis"), APALIS) },
    Contestant::new("FastStream 0.7.8, entry by entry", Program::Python("faststream_peer.py"), SLOW),
    Contestant {
        consume: "consume-batches",
        ..Contestant::new("FastStream 0.7.8, in batches", Program::Python("faststream_peer.py"), SLOW)
    },
];

/// A contestant that can be started: program and first argument.
pub(super) struct Ready(PathBuf, PathBuf);

impl Contestant {
    const fn new(name: &'static str, program: Program, most: usize) -> Self {
        Self { name, program, consume: "consume", most, streams: true }
    }

    /// Builds or installs what it needs.
    ///
    /// # Errors
    /// That is not possible here; why.
    pub(super) async fn prepare(&self, lab: &Lab) -> Result<Ready, String> {
        match self.program {
            Program::Own(name) => Ok(Ready(lab.peers(), name.into())),
            Program::Rust(name) => {
                let target = lab.options.places.results.join("peers");
                let mut build = Command::new("cargo");
                build.args(["build", "--quiet", "--release", "--locked"]);
                build.arg("--manifest-path").arg(peers().join("rust/Cargo.toml"));
                said(build.arg("--target-dir").arg(&target), "cargo cannot build it").await?;
                Ok(Ready(target.join("release/framework-peers"), name.into()))
            }
            Program::Python(script) => {
                let mut install = Command::new("python3");
                install.args(["scripts/python_venv.py", "redis", "faststream"]);
                let python = said(&mut install, "pip cannot install it").await?;
                Ok(Ready(python.trim().into(), peers().join(script)))
            }
        }
    }
}

impl Ready {
    /// The process that does `phase`.
    pub(super) fn command(&self, lab: &Lab, phase: &str, redis: &str, entries: usize) -> Command {
        let mut command = lab.command(&self.0);
        if self.0 == lab.peers() {
            command.arg("streams");
        }
        command.arg(&self.1).args([phase, redis, &entries.to_string()]);
        command
    }
}

/// `make bench` runs at the root of the repository.
fn peers() -> &'static Path {
    Path::new("bench/peers")
}

/// What `command` prints.
async fn said(command: &mut Command, failed: &str) -> Result<String, String> {
    let output = command.kill_on_drop(true).output().await.map_err(|error| format!("{failed}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let why = errors.lines().find(|line| line.to_lowercase().contains("error"));
    Err(format!("{failed}: {}", why.or(errors.lines().last()).unwrap_or_default().trim()))
}
