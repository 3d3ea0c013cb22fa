//! The Redis server of `make up`, whose data stays.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use stack::redis::{self, DURABLE};

use super::Run;
use super::earlier::Earlier;
use crate::parts::{REDIS_GRACE, held};

/// It reads what it held first.
const LOADING_PATIENCE: Duration = Duration::from_secs(60);

impl Run {
    pub(super) fn start_redis(&mut self) -> anyhow::Result<()> {
        let port = self.settings.redis_port();
        let program = redis::find()?;
        // A folder for each kind: neither opens what the other wrote.
        let (kind, version) = redis::identify(&program)?;
        let folder = self.data.join(&kind);
        fs::create_dir_all(&folder)?;
        refuse_newer(&folder, &kind, version)?;
        let lock = File::create(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let earlier = Earlier::of(&self.data);
                let advice = earlier.advice(earlier.redis.iter().copied());
                bail!("another Redis server is using {}: stop it first{advice}", folder.display());
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut command = held(&program)?;
        redis::listen(&mut command, port, &folder);
        command.args(DURABLE);
        // The server inherits the lock, as its standard input: two on the same files would destroy them.
        command.stdin(lock);
        self.start("redis", command, REDIS_GRACE)?;
        let what = format!("Redis on port {port} with the data in {}", folder.display());
        self.parts.until(&what, LOADING_PATIENCE, || redis::answers(port))?;
        let (major, minor) = version;
        Ok(fs::write(folder.join(WRITER), format!("{major}.{minor}\n"))?)
    }
}

/// The file that tells which version wrote a folder.
const WRITER: &str = "written-by";

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
