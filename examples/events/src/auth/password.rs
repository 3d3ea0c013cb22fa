use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// The longest password, in bytes.
pub const LONGEST_PASSWORD: usize = 200;

/// Passwords that are checked at once: each takes 19 MiB of memory and one processor for a moment.
const AT_ONCE: usize = 2;

/// Logins that wait for their check; more are refused, because each would wait for long.
const WAITING: usize = 32;

/// Too many logins wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins wait: try again later")]
pub struct Busy;

/// Checks passwords, a few at once. Clones share the limit.
#[derive(Clone)]
pub struct Passwords {
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// The hash that a name without an account is checked against, so that its check takes as long.
    nobody: Arc<str>,
}

impl Passwords {
    /// A checker with the default limits.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, String> {
        Ok(Self {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            nobody: hash("the password of nobody")?.into(),
        })
    }

    /// True if `password` has this hash. Without a hash it is false, after the same time.
    ///
    /// # Errors
    /// Too many logins wait.
    pub async fn check(&self, password: String, stored: Option<String>) -> Result<bool, Busy> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Busy)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Busy)?;
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobody.to_string());
        // The place moves into the thread: if the caller leaves, the work goes on and still counts.
        let checked = tokio::task::spawn_blocking(move || {
            let _place = place;
            matches(&password, &stored)
        });
        Ok(checked.await.unwrap_or(false) && known)
    }
}

fn matches(password: &str, stored: &str) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &stored).is_ok()
}

/// The argon2id hash of a password, with a salt of its own: 19 MiB, two passes (the defaults of the crate, which are
/// those of the OWASP Password Storage Cheat Sheet).
///
/// # Errors
/// The system gives no random bytes.
pub fn hash(password: &str) -> Result<String, String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(hash.map_err(|error| format!("the password cannot be hashed: {error}"))?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_has_its_own_hash_only() {
        let (passwords, stored) = (Passwords::new().expect("random"), hash("correct").expect("random"));
        let check = async |password: &str, stored: Option<&str>| {
            passwords.check(password.to_owned(), stored.map(str::to_owned)).await
        };

        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, hash("correct").expect("random"), "each hash has its own salt");
        assert_eq!(check("correct", Some(&stored)).await, Ok(true));
        assert_eq!(check("wrong", Some(&stored)).await, Ok(false));
        assert_eq!(check("the password of nobody", None).await, Ok(false));
        assert_eq!(check("correct", Some("no hash")).await, Ok(false));
    }
}
