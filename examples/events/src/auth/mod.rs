//! Who may use the API.
//!
//! An account has a password, kept as an argon2id hash (`password`), and a role. A login, limited by `limit`, gives a
//! token (`token`): a JWT that a key signs. `keys` has the keys: the first one signs, both verify.

mod keys;
mod limit;
mod password;
mod token;

pub use keys::{InvalidKeys, SigningKeys};
pub use limit::LoginLimit;
pub use password::{Busy, LONGEST_PASSWORD, Passwords, hash};
pub use token::{Claims, InvalidToken, issue, verify};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a caller may do. Each role may do what the one before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read.
    Reader,
    /// Create and change.
    Writer,
    /// Delete.
    Admin,
}

impl Role {
    /// As tokens and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Admin => "admin",
        }
    }

    /// Reads what [`Role::as_str`] writes; anything else counts as the least role.
    pub fn from_stored(text: &str) -> Self {
        match text {
            "writer" => Self::Writer,
            "admin" => Self::Admin,
            _ => Self::Reader,
        }
    }
}

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub username: String,
    /// What it may do.
    pub role: Role,
    /// Its password as an argon2id hash, in the PHC string format.
    pub password_hash: String,
}
