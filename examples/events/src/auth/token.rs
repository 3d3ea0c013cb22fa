//! Tokens: JWT (RFC 7519) with HS256, and no other algorithm: what a token says of its algorithm is compared, never
//! followed.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::{Role, SigningKeys};

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The account.
    pub sub: String,
    /// What it may do.
    pub role: Role,
    /// The service that issued it.
    pub iss: String,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// It is no token of this service, or its key is not in use any more.
    #[error("the token is not valid: log in again")]
    Forged,
    /// Its time is over.
    #[error("the token has expired: log in again")]
    Expired,
}

const ISSUER: &str = "events";

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 2_048;

/// A token for an account, valid from `now` (seconds since 1970) on.
pub fn issue(keys: &SigningKeys, username: &str, role: Role, now: i64, lifetime: Duration) -> String {
    let claims = Claims {
        sub: username.to_owned(),
        role,
        iss: ISSUER.to_owned(),
        iat: now,
        exp: now.saturating_add(lifetime.as_secs() as i64),
    };
    let (message, tag) = keys.sign(|kid| {
        let header = Header { alg: "HS256".to_owned(), typ: "JWT".to_owned(), kid: kid.to_owned() };
        format!("{}.{}", encoded(&header), encoded(&claims))
    });
    format!("{message}.{}", BASE64.encode(tag))
}

/// What a token says, if a key of ours has signed it and its time is not over at `now` (seconds since 1970).
///
/// # Errors
/// See [`InvalidToken`].
pub fn verify(keys: &SigningKeys, token: &str, now: i64) -> Result<Claims, InvalidToken> {
    let claims = signed_claims(keys, token).ok_or(InvalidToken::Forged)?;
    if claims.exp > now { Ok(claims) } else { Err(InvalidToken::Expired) }
}

fn signed_claims(keys: &SigningKeys, token: &str) -> Option<Claims> {
    if token.len() > LONGEST {
        return None;
    }
    let (message, signature) = token.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let header: Header = decoded(header)?;
    let signature = BASE64.decode(signature).ok()?;
    if header.alg != "HS256" || !keys.verify(&header.kid, message.as_bytes(), &signature) {
        return None;
    }
    decoded::<Claims>(claims).filter(|claims| claims.iss == ISSUER)
}

fn encoded(value: &impl Serialize) -> String {
    BASE64.encode(serde_json::to_vec(value).unwrap_or_default())
}

fn decoded<T: for<'a> Deserialize<'a>>(text: &str) -> Option<T> {
    serde_json::from_slice(&BASE64.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn keys(ids: &[&str]) -> SigningKeys {
        let lines: Vec<_> = ids.iter().map(|id| format!("{id}:{}", id.repeat(32))).collect();
        SigningKeys::parse(&lines.join("\n")).expect("valid")
    }

    #[test]
    fn a_token_says_who_may_do_what_until_when() {
        let token = issue(&keys(&["a"]), "ada", Role::Writer, 1_000, HOUR);

        let claims = verify(&keys(&["a"]), &token, 4_599).expect("valid");
        assert_eq!((claims.sub.as_str(), claims.role, claims.exp), ("ada", Role::Writer, 4_600));
        assert_eq!(verify(&keys(&["a"]), &token, 4_600), Err(InvalidToken::Expired));
    }

    #[test]
    fn a_key_is_rotated_in_three_steps() {
        let old = issue(&keys(&["a"]), "ada", Role::Reader, 0, HOUR);
        let new = issue(&keys(&["b", "a"]), "ada", Role::Reader, 0, HOUR);

        assert!(verify(&keys(&["b", "a"]), &old, 1).is_ok() && verify(&keys(&["b", "a"]), &new, 1).is_ok());
        assert_eq!(verify(&keys(&["b"]), &old, 1), Err(InvalidToken::Forged));
        assert!(verify(&keys(&["b"]), &new, 1).is_ok());
    }

    #[test]
    fn a_changed_token_is_forged() {
        let good = issue(&keys(&["a"]), "ada", Role::Reader, 0, HOUR);
        let parts: Vec<&str> = good.split('.').collect();
        let admin = encoded(&serde_json::json!({
            "sub": "ada", "role": "admin", "iss": "events", "iat": 0, "exp": 9_999,
        }));
        let unsigned = encoded(&serde_json::json!({"alg": "none", "typ": "JWT", "kid": "a"}));
        let long = "a".repeat(LONGEST + 1);

        for bad in [
            format!("{}.{admin}.{}", parts[0], parts[2]),
            format!("{unsigned}.{}.", parts[1]),
            format!("{unsigned}.{}.{}", parts[1], parts[2]),
            good[..good.len() - 1].to_owned(),
            format!("{good}x"),
            String::new(),
            "..".to_owned(),
            long,
        ] {
            assert_eq!(verify(&keys(&["a"]), &bad, 1), Err(InvalidToken::Forged), "{bad}");
        }
    }

    /// The key and the token of RFC 7515, A.1, show that the signature is that of the standard.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &BASE64.decode(key).expect("base64url"));

        let signature = BASE64.encode(ring::hmac::sign(&key, message.as_bytes()));

        assert_eq!(signature, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }
}
