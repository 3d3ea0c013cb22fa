use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

/// The secret that opens the dead-letter operations. Only its hash is kept, so no output of the
/// settings can contain the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken([u8; 32]);

/// Characters of a token: a shorter secret could be guessed, and a longer one may not fit into a header.
const LENGTHS: RangeInclusive<usize> = 16..=512;

impl AdminToken {
    /// True if `candidate` is the token. The hashes have one length and are compared in constant time,
    /// so the duration does not tell an attacker how much of a guess is right.
    pub fn is(&self, candidate: &[u8]) -> bool {
        self.0.ct_eq(&hash(candidate)).into()
    }
}

fn hash(text: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text).as_ref());
    hash
}

/// A text that cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 16 to 512 visible ASCII characters without spaces")]
pub struct InvalidToken;

impl FromStr for AdminToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = LENGTHS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        good.then(|| Self(hash(text.as_bytes()))).ok_or(InvalidToken)
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "correct-horse-battery-staple";

    #[test]
    fn a_token_equals_only_its_own_text() {
        let token: AdminToken = TOKEN.parse().expect("long enough");

        assert!(token.is(TOKEN.as_bytes()));
        for other in [
            "",
            "correct-horse-battery-stapl",
            "correct-horse-battery-staple ",
            "Correct-horse-battery-staple",
        ] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert!(!format!("{token:?}").contains("horse"));
    }

    #[test]
    fn a_short_or_long_or_unprintable_text_is_no_token() {
        assert!("x".repeat(16).parse::<AdminToken>().is_ok());
        for text in [
            "",
            &"x".repeat(15),
            &"x".repeat(513),
            "sixteen characters",
            "sixteen-characté",
            "sixteen\ncharacter",
        ] {
            assert_eq!(text.parse::<AdminToken>(), Err(InvalidToken), "{text}");
        }
    }
}
