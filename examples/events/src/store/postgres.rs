//! PostgreSQL, for several machines.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};

use super::backend::{Backend, Row, transaction};
use super::{StoreError, migration};

/// A database of a PostgreSQL server.
pub(super) struct PostgresServer {
    pool: PgPool,
}

/// The most connections of one process.
const CONNECTIONS: u32 = 16;

impl PostgresServer {
    /// Connects and brings the tables up to date. A caller waits at most `patience` for a connection, and the server
    /// ends a statement that takes longer.
    ///
    /// # Errors
    /// The server cannot be reached or refuses the credentials, or the tables cannot be made.
    pub(super) async fn open(url: &str, patience: Duration) -> Result<Self, StoreError> {
        let limit = format!("{}ms", patience.as_millis());
        let options: PgConnectOptions = url.parse()?;
        let options = options.application_name("events").options([("statement_timeout", limit.as_str())]);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(patience);
        let pool = pool.connect_lazy_with(options);
        let tables = migration(include_str!("../../migrations/postgres/0001_events.sql"));
        let mut connection = pool.acquire().await?;
        Migrator::with_migrations(vec![tables]).run_direct(None, &mut *connection, false).await?;
        drop(connection);
        Ok(Self { pool })
    }
}

impl Backend for PostgresServer {
    type Tx = Transaction<'static, Postgres>;

    const HOLD_LEASE: &'static str = "UPDATE relay SET holder = $1, held_until = \
        CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) + $2 \
        WHERE holder = $1 OR held_until < CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";

    async fn write(&self) -> Result<Self::Tx, StoreError> {
        Ok(self.pool.begin().await?)
    }

    async fn read(&self) -> Result<Self::Tx, StoreError> {
        Ok(self.pool.begin_with("BEGIN READ ONLY, ISOLATION LEVEL REPEATABLE READ").await?)
    }
}

transaction!(Postgres, Row::Postgres);
