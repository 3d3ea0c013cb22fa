use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How urgent a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// May wait.
    Low,
    /// The usual.
    #[default]
    Medium,
    /// Comes first.
    High,
}

impl Priority {
    /// As the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Reads what [`Priority::as_str`] writes; anything else counts as medium.
    pub fn from_stored(text: &str) -> Self {
        match text {
            "low" => Self::Low,
            "high" => Self::High,
            _ => Self::Medium,
        }
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id, a UUID.
    pub id: String,
    /// What is to be done.
    pub title: String,
    /// The details.
    pub description: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// Who is to do it.
    pub assigned_to: String,
    /// Who wants it done.
    pub created_by: String,
    /// When it is to be done (RFC 3339).
    pub due_date: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// How it was completed, if it was.
    pub completion: Option<Completion>,
}

/// How a task was completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Who did it.
    pub by: String,
    /// What there is to say.
    pub notes: Option<String>,
    /// Milliseconds since 1970.
    pub at: i64,
}
