//! The Redis server of `make up`, whose data stays.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;
use stack::redis::{self, DURABLE};

use super::earlier::Earlier;
use crate::parts::held;

/// A server that is ready to be started, alone with its folder.
pub(crate) struct Server {
    pub(crate) folder: PathBuf,
    version: (u32, u32),
    lock: File,
    program: PathBuf,
}

/// The file that tells which version wrote a folder.
const WRITER: &str = "written-by";

impl Server {
    /// The server of this machine on its folder in `data`.
    pub(crate) fn find(data: &Path) -> anyhow::Result<Self> {
        let program = redis::find()?;
        // A folder for each kind: neither opens what the other wrote.
        let (kind, version) = redis::identify(&program)?;
        let folder = data.join(&kind);
        fs::create_dir_all(&folder)?;
        refuse_newer(&folder, &kind, version)?;
        let lock = File::create(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let earlier = Earlier::of(data);
                let advice = earlier.advice(earlier.redis.iter().copied());
                bail!("another Redis server is using {}: stop it first{advice}", folder.display());
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(Self { folder, version, lock, program })
    }

    /// How to start it on `port`.
    pub(crate) fn command(&self, port: u16) -> anyhow::Result<Command> {
        let mut command = held(&self.program)?;
        redis::listen(&mut command, port, &self.folder);
        // The server inherits the lock, as its standard input: two on the same files would destroy them.
        command.args(DURABLE).stdin(self.lock.try_clone()?);
        Ok(command)
    }

    /// Says in the folder that it wrote there, once it answers.
    pub(crate) fn sign(&self) -> std::io::Result<()> {
        let (major, minor) = self.version;
        fs::write(self.folder.join(WRITER), format!("{major}.{minor}\n"))
    }
}

/// An older server cannot read what a newer one wrote, and advises to "fix" it, which destroys it.
fn refuse_newer(folder: &Path, kind: &str, version: (u32, u32)) -> anyhow::Result<()> {
    let text = fs::read_to_string(folder.join(WRITER)).unwrap_or_default();
    let wrote = text
        .trim()
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let wrote: (u32, u32) = wrote.unwrap_or_default();
    if wrote > version {
        let name = kind[..1].to_uppercase() + &kind[1..];
        bail!(
            "{name} {}.{} wrote the data in {}, and this is {name} {}.{}, which is older: put the newer \
             server on PATH, or move that folder away to start without data",
            wrote.0,
            wrote.1,
            folder.display(),
            version.0,
            version.1
        );
    }
    Ok(())
}
