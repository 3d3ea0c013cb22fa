//! API keys with a role. Without CHAT_KEYS_FILE, requests need no key, and each sender may take either role.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use axum::http::HeaderMap;
use service::api_key::{KeyHash, NoKey, presented};
use service::config::ConfigError;

use crate::message::Role;

/// The valid keys.
pub(crate) struct Keys(HashMap<KeyHash, Key>);

/// The name and the role of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// The largest file, in bytes: about 10,000 keys.
const LARGEST_FILE: u64 = 1 << 20;

impl Keys {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::of_file(path).map_err(|rule| ConfigError::rule("CHAT_KEYS_FILE", path.display(), rule))
    }

    fn of_file(path: &Path) -> Result<Self, String> {
        let unreadable = |error: io::Error| format!("must be a file that can be read: {error}");
        let found = std::fs::metadata(path).map_err(unreadable)?;
        if !found.is_file() || found.len() > LARGEST_FILE {
            return Err(format!("must be a regular file of at most {LARGEST_FILE} bytes"));
        }
        Self::parse(&std::fs::read(path).map_err(unreadable)?)
    }

    /// An error names the line and the rule, never the content: the line may hold a key in place of its hash.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut keys = HashMap::new();
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let key = std::str::from_utf8(line).map_err(|_| "must be text in UTF-8").and_then(key_of);
            let Some((hash, key)) = key.map_err(|rule| format!("line {number} {rule}"))? else { continue };
            let repeats = |earlier: &Key| earlier.name == key.name;
            if keys.values().any(repeats) || keys.insert(hash, key).is_some() {
                return Err(format!("line {number} must not repeat a name or a hash"));
            }
        }
        match keys.is_empty() {
            true => Err("must hold at least one key, as a line NAME:ROLE:HASH".to_owned()),
            false => Ok(Self(keys)),
        }
    }

    /// The key that a request presents.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Result<&Key, NoKey> {
        self.0.get(&KeyHash::of(presented(headers)?)).ok_or(NoKey::Wrong)
    }
}

fn key_of(line: &str) -> Result<Option<(KeyHash, Key)>, &'static str> {
    let line = line.split('#').next().unwrap_or_default().trim();
    if line.is_empty() {
        return Ok(None);
    }
    let [name, role, hash] = line.split(':').collect::<Vec<_>>()[..] else {
        return Err("must be NAME:ROLE:HASH");
    };
    let role = role.parse().map_err(|_| "must have the role customer or admin")?;
    let rule = "must have a hash of 64 hexadecimal digits, the SHA-256 of the key (not the key itself)";
    let hash = KeyHash::parse(hash).filter(|hash| *hash != KeyHash::of(b"")).ok_or(rule)?;
    Ok(Some((hash, Key { name: name_of(name)?, role })))
}

fn name_of(text: &str) -> Result<String, &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    match (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err("must have a name of 1 to 64 characters of A-Z a-z 0-9 . _ -"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_person_wrote_is_read() {
        let (a, b) = (KeyHash::of(b"a"), KeyHash::of(b"b"));

        let keys = Keys::parse(format!("# ours\r\n\n desk:admin:{a} # day\r\nshop:customer:{b}").as_bytes());

        let keys = keys.expect("valid").0;
        assert_eq!(keys[&a], Key { name: "desk".to_owned(), role: Role::Admin });
        assert_eq!(keys[&b].role, Role::Customer);
    }

    #[test]
    fn an_error_names_the_line_and_the_rule_not_the_content() {
        let (a, b, empty) = (KeyHash::of(b"a"), KeyHash::of(b"b"), KeyHash::of(b""));
        for (line, rule) in [
            ("hunter2".to_owned(), "must be NAME:ROLE:HASH"),
            (format!("x:hunter2:{a}"), "must have the role"),
            ("x:admin:hunter2".to_owned(), "must have a hash of 64"),
            (format!("x:admin:{empty}"), "must have a hash of 64"),
            (format!("hunter 2:admin:{a}"), "must have a name of 1 to 64"),
            (format!("first:admin:{a}"), "must not repeat"),
            (format!("x:admin:{b}"), "must not repeat"),
        ] {
            let error = Keys::parse(format!("first:admin:{b}\n{line}").as_bytes()).err().expect(&line);

            assert!(error.starts_with("line 2 ") && error.contains(rule), "{line}: {error}");
            assert!(!error.contains("hunter"), "{error}");
        }
        assert!(Keys::parse(b"# none\n").err().expect("empty").contains("NAME:ROLE:HASH"));
    }
}
