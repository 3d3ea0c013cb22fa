//! Where measurements are made: processes on this machine, load from wrk, and a look at who else is busy.

pub mod client;
pub mod deployment;
pub mod gateway;
pub mod machine;
pub mod measure;
pub mod peers;
pub mod process;
pub mod raw_cycle;
pub mod redis;
pub mod rounds;
pub mod watch;
pub mod wrk;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::options::{RunOptions, own_folder};

/// What measurements need, and how they are to be made.
pub struct Lab {
    /// How.
    pub options: RunOptions,
    /// The processors that everything runs on, as taskset names them; `None`: all of them.
    pub processors: Option<String>,
    folder: TempDir,
}

/// What must be in the folder of binaries. The peers are where this program is: who tries a change of
/// the product need not build them again.
const BINARIES: [&str; 3] = ["ingress", "proxy", "loadtest"];
const PEERS: &str = "bench-peer";

impl Lab {
    /// A lab on two processors (all there are, if there are no more).
    ///
    /// # Errors
    /// A program is not there.
    pub fn open(options: RunOptions) -> anyhow::Result<Self> {
        let peers = own_folder().join(PEERS);
        for program in BINARIES.iter().map(|name| options.bin_dir.join(name)).chain([peers]) {
            if !program.is_file() {
                bail!(
                    "{} is not there: cargo build --release -p ingress -p proxy -p loadtest -p bench",
                    program.display()
                );
            }
        }
        let folder = tempfile::Builder::new().prefix("streamgate-bench-").tempdir();
        let processors = (machine::processors() > 2).then(|| "0,1".to_owned());
        Ok(Self { options, processors, folder: folder.context("a temporary folder")? })
    }

    /// Pins what is started from now on to one processor, the last one that is used.
    pub fn on_one_processor(&mut self) {
        let last = machine::processors().min(2).saturating_sub(1);
        self.processors = Some(last.to_string());
    }

    /// For logs, scripts and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program of all peers.
    pub fn peers(&self) -> PathBuf {
        own_folder().join(PEERS)
    }

    /// One of the product's programs.
    pub fn binary(&self, name: &str) -> PathBuf {
        self.options.bin_dir.join(name)
    }
}
