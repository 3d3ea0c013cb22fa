//! Optional API keys: they limit who may send requests, how often, and how many of them may wait.
//!
//! | File | What it does |
//! |---|---|
//! | `file` | reads and checks API_KEYS_FILE |
//! | `guard` | the check in front of the handlers: answers 401, 403 or 429, or passes the request on |
//! | `limit` | the rate limit of one key and its headers |
//! | `reload` | applies changes of the file |
//! | `new_key` | the command that makes a key |
//! | `metrics` | declares the metrics |
//!
//! Without API_KEYS_FILE the router has no such layer.

pub mod file;
pub mod guard;
pub mod limit;
pub mod metrics;
pub mod new_key;
pub mod reload;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};

use ::routes::Priority;
use service::api_key::KeyHash;

use self::file::{Broken, KeyLine};
use self::limit::Limiter;
use self::metrics::{ApiKeyMetrics, KeyMetrics};

/// The valid keys.
pub struct ApiKeys {
    path: PathBuf,
    by_hash: RwLock<HashMap<KeyHash, Arc<Key>>>,
    /// The most requests of a key that may wait at once, if its line does not say it.
    max_waiting: Option<usize>,
    metrics: ApiKeyMetrics,
}

/// A key and the part of its rate limit that is used.
pub struct Key {
    line: KeyLine,
    limiter: Option<Limiter>,
    /// Its requests that wait.
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
    metrics: KeyMetrics,
}

/// How the new keys differ from the keys before.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// The number of keys that are new, or whose name or limit has changed.
    pub added: usize,
    /// The number of keys that are gone, or whose name or limit has changed.
    pub removed: usize,
}

impl ApiKeys {
    /// Reads the keys in the file at `path`. At most `max_waiting` requests of one key may wait, unless its line says
    /// otherwise.
    ///
    /// # Errors
    /// The file is missing or broken.
    pub fn open(path: &Path, max_waiting: Option<usize>, metrics: ApiKeyMetrics) -> Result<Self, Broken> {
        let keys = Self { path: path.to_owned(), by_hash: RwLock::default(), max_waiting, metrics };
        keys.replace(file::read(path)?);
        Ok(keys)
    }

    /// The number of keys.
    pub fn count(&self) -> usize {
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The priorities that keys ask for.
    pub fn priorities(&self) -> BTreeSet<Priority> {
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        by_hash.values().filter_map(|key| key.line.priority).collect()
    }

    /// The key that the caller sent; `None` if it is not valid.
    pub fn find(&self, presented: &[u8]) -> Option<Arc<Key>> {
        let hash = KeyHash::of(presented);
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }

    /// Replaces the valid keys by those of `lines`. A key whose line has not changed keeps its used quota,
    /// so a reload does not reset a rate limit.
    pub fn replace(&self, lines: Vec<KeyLine>) -> Changes {
        let mut by_hash = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *by_hash);
        let mut changes = Changes { removed: before.len(), ..Changes::default() };
        for line in lines {
            let key = match before.remove(&line.hash).filter(|key| key.line == line) {
                Some(key) => {
                    changes.removed -= 1;
                    key
                }
                None => {
                    changes.added += 1;
                    Arc::new(self.key(line))
                }
            };
            by_hash.insert(key.line.hash, key);
        }
        self.metrics.keys.set(by_hash.len() as f64);
        changes
    }

    fn key(&self, line: KeyLine) -> Key {
        Key {
            limiter: line.limit.map(Limiter::new),
            waiting: Arc::default(),
            max_waiting: line.waiting.or(self.max_waiting).unwrap_or(usize::MAX),
            metrics: self.metrics.of(&line.name),
            line,
        }
    }
}

#[cfg(test)]
mod tests {
    use service::exporter::MetricsRecorder;

    use super::*;

    fn keys(text: &str) -> ApiKeys {
        let metrics = ApiKeyMetrics::declare(Arc::new(MetricsRecorder::default()));
        let keys = ApiKeys { path: PathBuf::new(), by_hash: RwLock::default(), max_waiting: None, metrics };
        keys.replace(lines(text));
        keys
    }

    /// Parses `name:key:limit`, which has the key in the place of its hash.
    fn lines(text: &str) -> Vec<KeyLine> {
        let line = |line: &str| match line.splitn(3, ':').collect::<Vec<_>>()[..] {
            [name, key] => format!("{name}:{}\n", KeyHash::of(key.as_bytes())),
            [name, key, limit] => format!("{name}:{}:{limit}\n", KeyHash::of(key.as_bytes())),
            _ => panic!("{line}"),
        };
        file::parse(text.split(' ').map(line).collect::<String>().as_bytes()).expect("valid")
    }

    fn take(keys: &ApiKeys, key: &str) -> bool {
        let key = keys.find(key.as_bytes()).expect("known");
        key.limiter.as_ref().expect("limited").take().is_ok()
    }

    #[test]
    fn a_key_that_has_not_changed_keeps_its_used_quota() {
        let keys = keys("shop:k1:1/h batch:k2:1/h old:k3");
        assert!(take(&keys, "k1") && take(&keys, "k2"));

        let changes = keys.replace(lines("new:k4 shop:k1:1/h batch:k2:2/h"));

        assert!(!take(&keys, "k1"), "the line has not changed");
        assert!(take(&keys, "k2"), "the limit has changed");
        assert_eq!(changes, Changes { added: 2, removed: 2 });
        assert!(keys.find(b"k3").is_none() && keys.find(b"k4").is_some());
        assert_eq!(keys.count(), 3);
    }

    #[test]
    fn a_hash_is_not_accepted_as_a_key() {
        let keys = keys("shop:k1");

        assert!(keys.find(KeyHash::of(b"k1").to_string().as_bytes()).is_none());
        assert_eq!(keys.find(b"k1").expect("known").line.name, "shop");
    }
}
