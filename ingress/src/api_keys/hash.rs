//! Keys and their hashes.
//!
//! A slow, salted hash protects secrets that people choose, because these can be guessed. A key is 256
//! random bits, which no attacker can guess, even if the hash is fast. So SHA-256 is enough, and it is
//! fast enough for every request. The time of a look-up in the map reveals no secret: an attacker
//! cannot choose the hash of a key.

use std::fmt;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// The start of every key that `ingress new-key` makes. Scanners for leaked secrets recognise it.
const PREFIX: &str = "sgk_";

/// The SHA-256 of a key. The gateway stores only this hash, not the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of the key that a caller sent.
    pub fn of(key: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, key).as_ref());
        Self(hash)
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = ((pair[0] as char).to_digit(16)?, (pair[1] as char).to_digit(16)?);
            *byte = (high << 4 | low) as u8;
        }
        Some(Self(hash))
    }
}

/// Writes 64 hexadecimal digits.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// A new key: `sgk_` and 256 random bits as hexadecimal digits. It is not `Debug`, so that no log prints
/// it by accident.
pub struct NewKey([u8; 32]);

impl NewKey {
    /// Makes a key from the random source of the system.
    ///
    /// # Errors
    /// The random source of the system fails.
    pub fn mint() -> Result<Self, NoRandomness> {
        let mut bits = [0; 32];
        SystemRandom::new().fill(&mut bits).map_err(|_| NoRandomness)?;
        Ok(Self(bits))
    }

    /// The hash of the key, for API_KEYS_FILE.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.to_string().as_bytes())
    }
}

/// Writes the key itself, which is a secret.
impl fmt::Display for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        write_hex(f, &self.0)
    }
}

/// The random source of the system failed.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bits")]
pub struct NoRandomness;

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_what_sha256sum_prints() {
        let hash = KeyHash::of(b"abc");

        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), expected);
        assert_eq!(KeyHash::parse(expected), Some(hash));
        assert_eq!(KeyHash::parse(&expected.to_uppercase()), Some(hash));
    }

    #[test]
    fn a_hash_has_exactly_64_hexadecimal_digits() {
        let wrong = ["", "ab", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), &"é".repeat(32)];

        for text in wrong {
            assert_eq!(KeyHash::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_new_key_is_long_and_unique_and_has_the_prefix() {
        let (first, second) = (NewKey::mint().expect("random"), NewKey::mint().expect("random"));

        let text = first.to_string();
        assert!(text.starts_with("sgk_") && text.len() == 68, "{} characters", text.len());
        assert_ne!(text, second.to_string());
        assert_eq!(first.hash(), KeyHash::of(text.as_bytes()));
    }
}
