//! The database: users, tasks, the audit trail, the outbox, and what the consumers make of the events.
//!
//! In reading order: [`Repository`] (here) is what the rest of the program sees. `repository` implements it: each of its
//! methods is one transaction, made of the statements in `users`, `tasks`, `outbox`, `effects`, `readers` and `audit`.
//! The statements are the same for both databases. `backend` is the edge to them: `sqlite` and `postgres` implement it.

mod audit;
mod backend;
mod effects;
mod outbox;
mod postgres;
mod readers;
mod repository;
mod sqlite;
mod tasks;
mod users;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::{Migration, MigrationType};
use sqlx::{AssertSqlSafe, SqlSafeStr};
use streamgate::stream::EntryId;

use crate::auth::Account;
use crate::config::{DatabaseArgs, DatabaseUrl, SqliteSync};
use crate::model::{Arrival, Changes, Completion, NewEvent, Task, User, UserPatch};

pub use audit::{EventFilter, EventRow, Page, Stats, TypeStats};
use repository::Sql;

/// The repository that the settings choose.
pub type Store = Arc<dyn Repository>;

/// What the service keeps. Every method is one transaction: all of it happens, or nothing.
#[async_trait]
pub trait Repository: Send + Sync + 'static {
    /// Fails if the database cannot be written.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Stores a user; its event goes into the outbox.
    async fn create_user(&self, user: &User) -> Result<MessageId, StoreError>;
    /// Users in the order of their creation, after the user `after`.
    async fn users(&self, after: Option<&str>, limit: i64) -> Result<Vec<User>, StoreError>;
    /// A user.
    async fn user(&self, id: &str) -> Result<Option<User>, StoreError>;
    /// Changes a user. Nothing is published if nothing changed. `None` if there is no such user.
    async fn update_user(&self, id: &str, patch: &UserPatch) -> Result<Option<Updated>, StoreError>;
    /// Deletes a user; its events stay. `None` if there is no such user.
    async fn delete_user(&self, id: &str) -> Result<Option<MessageId>, StoreError>;

    /// Stores a task.
    async fn create_task(&self, task: &Task) -> Result<MessageId, StoreError>;
    /// Completes a task.
    async fn complete_task(&self, id: &str, done: &Completion) -> Result<Completed, StoreError>;

    /// Publishes events that change no table of state. A custom stream that would be one more than
    /// [`MOST_CUSTOM_STREAMS`] is [`StoreError::TooManyStreams`].
    async fn publish(&self, events: &[NewEvent]) -> Result<(), StoreError>;
    /// The custom streams that have an event.
    async fn custom_streams(&self) -> Result<Vec<String>, StoreError>;

    /// A page of the audit trail, the newest first, and how many events match.
    async fn events(&self, filter: &EventFilter, page: Page) -> Result<(Vec<EventRow>, i64), StoreError>;
    /// How many events there are, by their state, type and stream.
    async fn stats(&self) -> Result<Stats, StoreError>;

    /// Takes or renews the right to append to the streams; false while another process has it.
    async fn hold_relay_lease(&self, holder: &str, length: Duration) -> Result<bool, StoreError>;
    /// The streams that have events in the outbox.
    async fn streams_to_relay(&self) -> Result<Vec<String>, StoreError>;
    /// The oldest events of a stream in the outbox.
    async fn to_relay(&self, stream: &str, limit: i64) -> Result<Vec<NewEvent>, StoreError>;
    /// Notes where events are on their stream; they leave the outbox.
    async fn relayed(&self, stream: &str, places: &[(String, EntryId)]) -> Result<(), StoreError>;
    /// The entry up to which all events on a stream are known to be there.
    async fn relay_floor(&self, stream: &str) -> Result<EntryId, StoreError>;
    /// Removes events from the outbox that a consumer has got already.
    async fn forget_arrived(&self, stream: &str) -> Result<(), StoreError>;
    /// How many events are in the outbox.
    async fn outbox_len(&self) -> Result<i64, StoreError>;

    /// Applies the effect of each arrival, once for each event, and notes it in the audit trail.
    async fn apply(&self, consumer: &str, arrivals: &[Arrival]) -> Result<Vec<Verdict>, StoreError>;
    /// Notes that an entry was given up, and that `reader` has read the dead letters up to it.
    async fn dead_lettered(&self, reader: &str, letter: &GivenUp) -> Result<(), StoreError>;
    /// How far `reader` has read each stream.
    async fn checkpoints(&self, reader: &str) -> Result<Vec<(String, EntryId)>, StoreError>;
    /// Counts entries of one stream, and moves the checkpoint of `reader` from `from` to the last of them. False, and
    /// nothing is counted, if the checkpoint is not at `from` any more: another process reads under this name.
    async fn tally(
        &self,
        reader: &str,
        stream: &str,
        from: Option<EntryId>,
        seen: &[(EntryId, String)],
    ) -> Result<bool, StoreError>;

    /// An account.
    async fn account(&self, username: &str) -> Result<Option<Account>, StoreError>;
    /// Stores an account; an account of this name is replaced.
    async fn put_account(&self, account: &Account) -> Result<(), StoreError>;
}

/// The id of an event, as an answer gives it.
pub type MessageId = String;

/// The most custom streams: each costs every consumer group a connection to Redis.
pub const MOST_CUSTOM_STREAMS: usize = 32;

/// A user after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The user now.
    pub user: User,
    /// What is different.
    pub changes: Changes,
    /// The event; `None` if nothing changed.
    pub message_id: Option<MessageId>,
}

/// How the completion of a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completed {
    /// The task is done now.
    Done(Box<Task>, MessageId),
    /// It was done before.
    Already,
    /// There is no such task.
    Unknown,
}

/// What became of one arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its effect is stored.
    Applied,
    /// Its effect was stored before: nothing happened.
    Duplicate,
    /// Its effect is not possible now. The audit trail has the reason.
    Failed(String),
    /// Its effect will never be possible. The audit trail has the reason.
    Malformed(String),
}

/// An entry that became a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The entry.
    pub arrival: Arrival,
    /// Its id among the dead letters; its time is when it was given up.
    pub letter: EntryId,
    /// The stream of the dead letters.
    pub letters: String,
    /// Why.
    pub reason: String,
    /// Who gave it up.
    pub consumer: String,
}

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or cannot write now: the same may work later.
    #[error("the database cannot be used now: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A value that must be unique is there already. It names the column.
    #[error("another row has this {0}")]
    Taken(&'static str),
    /// There are too many custom streams.
    #[error("there are {MOST_CUSTOM_STREAMS} custom streams, which is the most: use one of them")]
    TooManyStreams,
    /// The database refused the statement, which is a defect.
    #[error("the database refused a statement: {0}")]
    Refused(#[source] sqlx::Error),
    /// The tables could not be made.
    #[error("the tables cannot be brought up to date: {0}")]
    Tables(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(refusal) = error.as_database_error() else {
            return match error {
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
                    Self::Refused(error)
                }
                _ => Self::Unavailable(error),
            };
        };
        if refusal.is_unique_violation() {
            // Both databases name the column: `users.email`, `users_email_key`.
            let column = ["username", "email"].into_iter().find(|name| refusal.message().contains(name));
            return Self::Taken(column.unwrap_or("value"));
        }
        match refusal.code().is_some_and(|code| is_transient(&code)) {
            true => Self::Unavailable(error),
            false => Self::Refused(error),
        }
    }
}

/// True if the same statement may work later.
///
/// PostgreSQL has codes of five characters (its manual, appendix A): connections, resources, an operator's action,
/// serialization and deadlocks; the system itself. SQLite has numbers (sqlite.org/rescode.html), the kind in the last
/// byte: busy, locked, read-only, input and output, full, cannot open.
fn is_transient(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6 | 8 | 10 | 13 | 14),
        _ => ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class)),
    }
}

/// Opens the database that the settings name, and brings its tables up to date.
///
/// # Errors
/// It cannot be reached or its tables cannot be made.
pub async fn open(settings: &DatabaseArgs) -> Result<Store, StoreError> {
    let patience = settings.events_database_timeout.0;
    Ok(match &settings.database_url {
        DatabaseUrl::Sqlite(path) => {
            let durable = settings.events_sqlite_sync == SqliteSync::Full;
            Arc::new(Sql(sqlite::SqliteFile::open(path, patience, durable).await?))
        }
        DatabaseUrl::Postgres(url) => Arc::new(Sql(postgres::PostgresServer::open(url, patience).await?)),
    })
}

/// The first and only step of the schema so far.
fn migration(sql: &'static str) -> Migration {
    let sql = AssertSqlSafe(sql).into_sql_str();
    Migration::new(1, Cow::Borrowed("events"), MigrationType::Simple, sql, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_pass_are_told_from_those_that_stay() {
        for code in ["5", "261", "517", "10", "778", "08006", "40001", "40P01", "53300", "57P01"] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["1", "19", "2067", "23505", "42P01", "22021"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
