use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{new_id, now_ms, rfc3339};

/// Whether a user may work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// May work.
    #[default]
    Active,
    /// Does not work now.
    Inactive,
    /// May not work.
    Suspended,
}

impl Status {
    /// As the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Suspended => "suspended",
        }
    }

    /// Reads what [`Status::as_str`] writes; anything else counts as suspended.
    pub fn from_stored(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "inactive" => Self::Inactive,
            _ => Self::Suspended,
        }
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id, a UUID.
    pub id: String,
    /// Unique.
    pub username: String,
    /// Unique, in lower case.
    pub email: String,
    /// Its status.
    pub status: Status,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

/// The fields of a user that may be changed. `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserPatch {
    /// The new name.
    pub username: Option<String>,
    /// The new address.
    pub email: Option<String>,
    /// The new status.
    pub status: Option<Status>,
}

/// What a field was and what it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The value before.
    #[schema(example = "active")]
    pub from: String,
    /// The value now.
    #[schema(example = "inactive")]
    pub to: String,
}

/// The fields that changed.
pub type Changes = BTreeMap<String, Change>;

impl User {
    /// A new user.
    pub fn new(username: String, email: &str, status: Status) -> Self {
        let now = now_ms();
        let email = email.to_lowercase();
        Self { id: new_id(), username, email, status, created_at: now, updated_at: now }
    }

    /// Applies a patch; returns the fields that are different now.
    pub fn apply(&mut self, patch: &UserPatch) -> Changes {
        let mut changes = Changes::new();
        let mut note = |field: &str, from: &str, to: &str| {
            if from != to {
                changes.insert(field.to_owned(), Change { from: from.to_owned(), to: to.to_owned() });
            }
        };
        if let Some(username) = &patch.username {
            note("username", &self.username, username);
            self.username.clone_from(username);
        }
        if let Some(email) = patch.email.as_ref().map(|email| email.to_lowercase()) {
            note("email", &self.email, &email);
            self.email = email;
        }
        if let Some(status) = patch.status {
            note("status", self.status.as_str(), status.as_str());
            self.status = status;
        }
        if !changes.is_empty() {
            self.updated_at = now_ms();
        }
        changes
    }

    /// When it was created, as RFC 3339 writes it.
    pub fn created(&self) -> String {
        rfc3339(self.created_at)
    }

    /// When it was changed last, as RFC 3339 writes it.
    pub fn updated(&self) -> String {
        rfc3339(self.updated_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_only_what_is_different() {
        let mut user = User::new("ada".to_owned(), "Ada@Example.org", Status::Active);
        let same = UserPatch { email: Some("ADA@example.org".to_owned()), ..UserPatch::default() };
        let other = UserPatch { status: Some(Status::Inactive), ..same.clone() };

        assert_eq!(user.apply(&same), Changes::new());
        let changes = user.apply(&other);

        let change = Change { from: "active".to_owned(), to: "inactive".to_owned() };
        assert_eq!(changes, Changes::from([("status".to_owned(), change)]));
        assert_eq!(user.email, "ada@example.org");
    }
}
