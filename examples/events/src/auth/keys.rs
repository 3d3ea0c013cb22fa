use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ring::hmac;

/// The keys that sign tokens: the first signs, all verify. Clones share them.
#[derive(Clone)]
pub struct SigningKeys(Arc<RwLock<Vec<Key>>>);

/// A key and its id, which tokens name in `kid`.
struct Key {
    id: String,
    hmac: hmac::Key,
}

/// The most keys: the one that signs, and the one before it until its last token has expired.
const MOST_KEYS: usize = 2;

/// The fewest characters of a secret: HS256 needs a key of at least 32 bytes (RFC 7518, 3.2).
const SHORTEST_SECRET: usize = 32;

/// How often the file of keys is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What is wrong with a list of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must have one or two lines `id:secret`, the id of 1 to 32 letters, digits, dots, hyphens or underscores, the secret of at least {SHORTEST_SECRET} visible ASCII characters (openssl rand -hex 32 makes one); the first line signs, both verify: {0}"
)]
pub struct InvalidKeys(String);

impl SigningKeys {
    /// Reads `id:secret`, one key a line; empty lines and lines that start with `#` do not count. In a variable, a
    /// comma may separate the keys.
    ///
    /// # Errors
    /// The text breaks a rule; the message repeats no secret.
    pub fn parse(text: &str) -> Result<Self, InvalidKeys> {
        Ok(Self(Arc::new(RwLock::new(keys_in(text)?))))
    }

    /// The id of the key that signs, and the signature of `message` with it.
    pub(super) fn sign(&self, message: impl FnOnce(&str) -> String) -> (String, hmac::Tag) {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let message = message(&keys[0].id);
        let tag = hmac::sign(&keys[0].hmac, message.as_bytes());
        (message, tag)
    }

    /// True if the key `id` made this signature.
    pub(super) fn verify(&self, id: &str, message: &[u8], signature: &[u8]) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter()
            .find(|key| key.id == id)
            .is_some_and(|key| hmac::verify(&key.hmac, message, signature).is_ok())
    }

    /// Reads `file` again when it changes, for ever: this is how a key is rotated without a restart. A file that is not
    /// valid changes nothing.
    pub async fn follow(self, file: PathBuf) {
        let mut seen = changed_at(&file);
        loop {
            tokio::time::sleep(LOOK).await;
            let now = changed_at(&file);
            if now == seen {
                continue;
            }
            seen = now;
            let text = tokio::fs::read_to_string(&file).await.map_err(|error| error.to_string());
            match text.and_then(|text| keys_in(&text).map_err(|error| error.to_string())) {
                Ok(keys) => {
                    let ids: Vec<_> = keys.iter().map(|key| key.id.clone()).collect();
                    *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
                    tracing::info!(file = %file.display(), ?ids, "the signing keys were read again");
                }
                Err(error) => {
                    tracing::warn!(file = %file.display(), error, "the signing keys stay as they were");
                }
            }
        }
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKeys(***)")
    }
}

fn changed_at(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|meta| meta.modified()).ok()
}

fn keys_in(text: &str) -> Result<Vec<Key>, InvalidKeys> {
    let lines =
        text.split(['\n', ',']).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<Key> = lines.map(key_in).collect::<Result<_, _>>()?;
    match keys.len() {
        0 => Err(InvalidKeys("there is none".to_owned())),
        1..=MOST_KEYS if keys.iter().skip(1).all(|key| key.id != keys[0].id) => Ok(keys),
        1..=MOST_KEYS => Err(InvalidKeys("both have the same id".to_owned())),
        more => Err(InvalidKeys(format!("there are {more}"))),
    }
}

fn key_in(line: &str) -> Result<Key, InvalidKeys> {
    let wrong = |rule: &str| InvalidKeys(rule.to_owned());
    let (id, secret) = line.split_once(':').ok_or_else(|| wrong("a line has no colon"))?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    if !(1..=32).contains(&id.len()) || !id.bytes().all(good) {
        return Err(wrong("an id is not valid"));
    }
    if secret.len() < SHORTEST_SECRET || !secret.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(InvalidKeys(format!("the secret of {id} is not valid")));
    }
    Ok(Key { id: id.to_owned(), hmac: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_or_two_keys_with_long_secrets() {
        let (a, b) = ("a:".to_owned() + &"x".repeat(32), "b:".to_owned() + &"y".repeat(32));

        for good in [a.clone(), format!("# old\n{a}\n\n{b}\n"), format!("{a},{b}")] {
            assert!(SigningKeys::parse(&good).is_ok(), "{good}");
        }
        let three = format!("{a}\n{b}\nc:{}", "z".repeat(32));
        for bad in ["", "a", "a:short", "a b:", &format!("{a}\n{a}"), &three, &format!("{a} {b}")] {
            let told = SigningKeys::parse(bad).expect_err(bad).to_string();
            assert!(!told.contains("short") && !told.contains("xxx"), "{told}");
        }
    }
}
