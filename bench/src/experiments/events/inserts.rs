//! Plain inserts: what the database does without the example around it. Each row is a transaction of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::task::JoinSet;

use super::Kind;

const TABLE: &str = "CREATE TABLE plain (uuid TEXT PRIMARY KEY, stream TEXT NOT NULL, payload TEXT NOT NULL)";
const INSERT: &str = "INSERT INTO plain (uuid, stream, payload) VALUES ($1, $2, $3)";
const STREAM: &str = "user:events";
/// As long as that of an event of the load test.
const PAYLOAD: &str = r#"{"createdAt":"2026-11-27T22:18:32.595Z","email":"0123456789abcdef-1234@example.org","status":"active","userId":"01a21f16-b913-75ff-8b17-ac6def205188","username":"0123456789abcdef-1234"}"#;

/// The longest wait for a connection.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rows a second, with the connections that the example has: one writer for SQLite, 16 connections for PostgreSQL.
pub(super) async fn rate(kind: Kind, url: &str, rows: usize, callers: usize) -> anyhow::Result<f64> {
    match kind {
        Kind::Sqlite => {
            let options = SqliteConnectOptions::new()
                .filename(url.trim_start_matches("sqlite:"))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full);
            let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
            let pool = pool.test_before_acquire(false).connect_with(options).await?;
            sqlx::query(TABLE).execute(&pool).await?;
            measure(rows, callers, move |id| {
                let pool = pool.clone();
                async move {
                    sqlx::query(INSERT).bind(id).bind(STREAM).bind(PAYLOAD).execute(&pool).await.map(drop)
                }
            })
            .await
        }
        Kind::Postgres => {
            let pool = PgPoolOptions::new().max_connections(16).acquire_timeout(PATIENCE);
            let pool = pool.connect(url).await?;
            sqlx::query(TABLE).execute(&pool).await?;
            measure(rows, callers, move |id| {
                let pool = pool.clone();
                async move {
                    sqlx::query(INSERT).bind(id).bind(STREAM).bind(PAYLOAD).execute(&pool).await.map(drop)
                }
            })
            .await
        }
    }
}

async fn measure<F>(
    rows: usize,
    callers: usize,
    insert: impl Fn(String) -> F + Send + Sync + 'static,
) -> anyhow::Result<f64>
where
    F: Future<Output = Result<(), sqlx::Error>> + Send,
{
    let (insert, next) = (Arc::new(insert), Arc::new(AtomicUsize::new(0)));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (insert, next) = (Arc::clone(&insert), Arc::clone(&next));
        tasks.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < rows {
                insert(uuid::Uuid::now_v7().to_string()).await?;
            }
            Ok::<_, sqlx::Error>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(rows as f64 / started.elapsed().as_secs_f64())
}
