//! API keys: their hashes, and the key that a request presents.
//!
//! A slow, salted hash protects secrets that people choose, because these can be guessed. A key is 256
//! random bits, which no attacker can guess, even if the hash is fast. So SHA-256 is enough, and it is
//! fast enough for every request. The time of a look-up in the map reveals no secret: an attacker
//! cannot choose the hash of a key.

use std::fmt;

use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// The start of every key that `new-key` of a process makes. Scanners for leaked secrets recognise it.
const PREFIX: &str = "sgk_";

/// The SHA-256 of a key. A process stores only this hash, not the key.
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

/// Carries a key if `authorization` is used for something else, for example by a proxy.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The longest key that is hashed. Keys of [`NewKey`] have 68 characters.
const LONGEST_KEY: usize = 512;

/// The key in `x-api-key`, else in `authorization`. If one of these headers comes twice, the request is
/// refused: a proxy in front might check the other key.
///
/// # Errors
/// There is no key that can be looked up.
pub fn presented(headers: &HeaderMap) -> Result<&[u8], NoKey> {
    let key = match only(headers, &X_API_KEY)? {
        Some(key) => key,
        None => bearer(only(headers, &AUTHORIZATION)?.ok_or(NoKey::Missing)?)?,
    };
    if key.len() > LONGEST_KEY { Err(NoKey::Wrong) } else { Ok(key) }
}

fn bearer(credentials: &[u8]) -> Result<&[u8], NoKey> {
    let at = credentials.iter().position(|byte| *byte == b' ').ok_or(NoKey::Missing)?;
    let (scheme, key) = credentials.split_at(at);
    // RFC 9110, 11.1: the case of a scheme does not matter.
    if scheme.eq_ignore_ascii_case(b"bearer") { Ok(key.trim_ascii()) } else { Err(NoKey::Missing) }
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, NoKey> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(NoKey::Several),
        (value, None) => Ok(value.map(HeaderValue::as_bytes)),
    }
}

/// Why a request has no valid key; the text is for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// No header has a key.
    #[error("an API key is required: send it as Authorization: Bearer KEY or X-API-Key: KEY")]
    Missing,
    /// A header with a key comes twice.
    #[error("send exactly one API key")]
    Several,
    /// The key is none of the valid ones.
    #[error("this API key is not valid; ask the operator of this service for a valid one")]
    Wrong,
}

impl NoKey {
    /// The value of `WWW-Authenticate`. A request without a key gets no error code (RFC 6750, 3).
    pub fn challenge(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Missing => "Bearer",
            Self::Several => r#"Bearer error="invalid_request""#,
            Self::Wrong => r#"Bearer error="invalid_token""#,
        })
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

    fn headers(all: &[(HeaderName, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(name, HeaderValue::from_bytes(value).expect("a header"));
        }
        headers
    }

    #[test]
    fn a_key_is_read_from_either_header() {
        for (all, key) in [
            (&[(AUTHORIZATION, &b"Bearer k1"[..])][..], &b"k1"[..]),
            (&[(AUTHORIZATION, b"bEARER   k1 ")], b"k1"),
            (&[(X_API_KEY, b"k1")], b"k1"),
            (&[(X_API_KEY, b"k1"), (AUTHORIZATION, b"Basic YTpi")], b"k1"),
            (&[(X_API_KEY, b"k1"), (AUTHORIZATION, b"Bearer k2")], b"k1"),
            (&[(X_API_KEY, b"")], b""),
            (&[(X_API_KEY, b"\xff\xfe")], b"\xff\xfe"),
        ] {
            assert_eq!(presented(&headers(all)), Ok(key), "{all:?}");
        }
    }

    #[test]
    fn no_key_and_two_keys_are_different_errors() {
        for (all, missing) in [
            (&[][..], NoKey::Missing),
            (&[(AUTHORIZATION, &b"Basic YTpi"[..])], NoKey::Missing),
            (&[(AUTHORIZATION, b"Bearer")], NoKey::Missing),
            (&[(AUTHORIZATION, b"")], NoKey::Missing),
            (&[(AUTHORIZATION, b"k1")], NoKey::Missing),
            (&[(AUTHORIZATION, b"Bearer k1"), (AUTHORIZATION, b"Bearer k1")], NoKey::Several),
            (&[(X_API_KEY, b"k1"), (X_API_KEY, b"k2")], NoKey::Several),
            (&[(X_API_KEY, &[b'k'; LONGEST_KEY + 1])], NoKey::Wrong),
        ] {
            assert_eq!(presented(&headers(all)), Err(missing), "{all:?}");
        }
    }
}
