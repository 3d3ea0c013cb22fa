//! The files that routes come from: each is read once and remembered by its hash, so that a change is noticed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ring::digest::{Context, SHA256};

/// The largest routes file and the largest schema, in bytes.
pub(crate) const LARGEST: u64 = 1 << 20;
/// The largest file of a `${file:…}`, in bytes.
const LARGEST_SECRET: u64 = 64 << 10;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// The routes, or a schema: part of the version.
    Rules,
    /// A value, perhaps a secret: not part of the version, which everybody may read.
    Secret,
}

/// The hash of a file; `None` if it could not be read.
type Hash = Option<[u8; 32]>;

/// The files read so far.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<BTreeMap<PathBuf, (Use, Hash)>>);

impl Sources {
    /// Reads a file. A path that a Kubernetes ConfigMap swaps is a chain of links, which is followed each time.
    ///
    /// # Errors
    /// A phrase such as "must be a file that can be read: …". It says nothing of the content.
    pub(crate) fn read(&self, path: &Path, usage: Use) -> Result<String, String> {
        let bytes = read(path, usage);
        let hash = bytes.as_ref().ok().map(|bytes| hash_of(&[bytes.as_slice()]));
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The same file may be a rule and a value. Then it counts as a rule.
        let entry = seen.entry(path.to_owned()).or_insert((usage, hash));
        if usage == Use::Rules {
            entry.0 = Use::Rules;
        }
        String::from_utf8(bytes?).map_err(|_| "must be text in UTF-8".to_owned())
    }

    /// Names what the files are now, if this is not what was read.
    pub(crate) fn changed(&self) -> Option<[u8; 32]> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now: Vec<Hash> =
            seen.iter().map(|(path, (usage, _))| Some(hash_of(&[&read(path, *usage).ok()?]))).collect();
        if now.iter().eq(seen.values().map(|(_, hash)| hash)) {
            return None;
        }
        let parts: Vec<&[u8]> =
            now.iter().map(|hash| hash.as_ref().map_or(&[][..], |hash| &hash[..])).collect();
        Some(hash_of(&parts))
    }

    /// Names the content of the rules: 12 hexadecimal digits.
    pub(crate) fn version(&self) -> String {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = seen.values().filter(|(usage, _)| *usage == Use::Rules);
        let hashes: Vec<&[u8]> = rules.filter_map(|(_, hash)| hash.as_ref().map(|hash| &hash[..])).collect();
        short_hash(&hashes, 6)
    }
}

/// A path below `folder`, as it is written in a file of that folder.
///
/// # Errors
/// The path leads out of the folder, by itself or by a link.
pub(crate) fn below(folder: &Path, written: &str) -> Result<PathBuf, String> {
    let rule = || "must be a path below the folder of the routes file".to_owned();
    let down = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if written.is_empty() || written.contains('\0') || !Path::new(written).components().all(down) {
        return Err(rule());
    }
    let path = folder.join(written);
    // A file that is missing is reported when it is read.
    match (folder.canonicalize(), path.canonicalize()) {
        (Ok(folder), Ok(real)) if !real.starts_with(&folder) => Err(rule()),
        _ => Ok(path),
    }
}

fn read(path: &Path, usage: Use) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("must be a file that can be read: {error}");
    // Checked before opening: opening a pipe would wait until a process writes to it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("must be a regular file".to_owned());
    }
    let largest = if usage == Use::Rules { LARGEST } else { LARGEST_SECRET };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(largest + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > largest {
        return Err(format!("must be at most {largest} bytes long"));
    }
    Ok(bytes)
}

/// The first `bytes` bytes of the hash, in hexadecimal digits.
pub(crate) fn short_hash(parts: &[&[u8]], bytes: usize) -> String {
    hash_of(parts)[..bytes].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
