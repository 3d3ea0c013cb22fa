//! SQLite: a file, nothing to install.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

use super::backend::{Backend, Row, transaction};
use super::{StoreError, migration};

/// A database in a file. One connection writes: SQLite has one writer at a time, and waiting for it in the pool is
/// fair, while waiting for its lock is not. Other processes may use the same file.
pub(super) struct SqliteFile {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// Connections that read at the same time.
const READERS: u32 = 4;

impl SqliteFile {
    /// Opens the file, creates it if it does not exist, and brings its tables up to date. A statement waits at most
    /// `patience` for another process. With `durable`, a transaction is on the disk when it is committed; otherwise a
    /// power failure may undo the last ones (the end of a process does not).
    ///
    /// # Errors
    /// The file cannot be opened or its tables cannot be made.
    pub(super) async fn open(path: &str, patience: Duration, durable: bool) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(if durable { SqliteSynchronous::Full } else { SqliteSynchronous::Normal })
            .foreign_keys(true)
            .busy_timeout(patience);
        let pool = |most| {
            let pool = SqlitePoolOptions::new().max_connections(most).acquire_timeout(patience);
            pool.test_before_acquire(false).connect_lazy_with(options.clone())
        };
        let (writer, readers) = (pool(1), pool(READERS));
        let tables = migration(include_str!("../../migrations/sqlite/0001_events.sql"));
        let mut connection = writer.begin_with("BEGIN IMMEDIATE").await?;
        Migrator::with_migrations(vec![tables]).run_direct(None, &mut *connection, false).await?;
        connection.commit().await?;
        Ok(Self { writer, readers })
    }
}

impl Backend for SqliteFile {
    type Tx = Transaction<'static, Sqlite>;

    const HOLD_LEASE: &'static str = "UPDATE relay SET holder = $1, held_until = \
        CAST(unixepoch('subsec') * 1000 AS INTEGER) + $2 \
        WHERE holder = $1 OR held_until < CAST(unixepoch('subsec') * 1000 AS INTEGER)";

    async fn write(&self) -> Result<Self::Tx, StoreError> {
        // A transaction that reads first could not become one that writes while another process writes.
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn read(&self) -> Result<Self::Tx, StoreError> {
        Ok(self.readers.begin().await?)
    }
}

transaction!(Sqlite, Row::Sqlite);
