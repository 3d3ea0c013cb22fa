//! Keys and their hashes.
//!
//! A slow, salted hash protects secrets that people choose, because they can be guessed. A key
//! is 256 random bits: nobody guesses it, with however fast a hash, so SHA-256 is enough, and
//! cheap enough for every request. Finding a key by its hash in a map tells no secret by the time
//! it takes: who presents a key cannot choose the hash it has.

use std::fmt;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// What every key made here starts with, so that scanners for leaked secrets know it.
const PREFIX: &str = "sgk_";

/// The SHA-256 of a key, which is all the gateway keeps of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of what a caller presented.
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

/// As 64 hexadecimal digits.
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

/// A new key: `sgk_` and 256 random bits as hexadecimal digits. Not `Debug`, so that it is not
/// printed by accident.
pub struct NewKey([u8; 32]);

impl NewKey {
    /// Makes one from the system's random source.
    ///
    /// # Errors
    /// The system has no random bits.
    pub fn mint() -> Result<Self, NoRandomness> {
        let mut bits = [0; 32];
        SystemRandom::new().fill(&mut bits).map_err(|_| NoRandomness)?;
        Ok(Self(bits))
    }

    /// The hash to keep of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.to_string().as_bytes())
    }
}

/// The key itself, for the caller's eyes only.
impl fmt::Display for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        write_hex(f, &self.0)
    }
}

/// The system's random source failed.
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
    fn what_is_not_64_hexadecimal_digits_is_no_hash() {
        let wrong = ["", "ab", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), &"é".repeat(32)];

        for text in wrong {
            assert_eq!(KeyHash::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_new_key_is_long_prefixed_and_never_the_same() {
        let (first, second) = (NewKey::mint().expect("random"), NewKey::mint().expect("random"));

        let text = first.to_string();
        assert!(text.starts_with("sgk_") && text.len() == 68, "{} characters", text.len());
        assert_ne!(text, second.to_string());
        assert_eq!(first.hash(), KeyHash::of(text.as_bytes()));
    }
}
