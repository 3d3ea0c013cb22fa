//! The audit trail: every event, and what became of it.

use super::StoreError;
use super::backend::{Row, Tx, Value, values};

/// Which events. `None` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this type.
    pub event_type: Option<String>,
    /// On this stream.
    pub stream: Option<String>,
    /// Processed, or not.
    pub processed: Option<bool>,
    /// About or from this user.
    pub user_id: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The most rows.
    pub limit: i64,
    /// Rows before them.
    pub offset: i64,
}

/// One event and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its id, a UUID.
    pub id: String,
    /// The stream.
    pub stream: String,
    /// Its place on the stream; `None` while it is in the outbox.
    pub entry_id: Option<String>,
    /// Its type.
    pub event_type: String,
    /// Its payload, JSON.
    pub payload: String,
    /// The user that it is about or from.
    pub user_id: Option<String>,
    /// Milliseconds since 1970, as are the other times.
    pub created_at: i64,
    /// True once its effect is stored.
    pub processed: bool,
    /// When that was.
    pub processed_at: Option<i64>,
    /// Who had it last.
    pub consumer: Option<String>,
    /// How often it was delivered.
    pub attempts: i64,
    /// Why it was not processed the last time.
    pub error: Option<String>,
    /// When it was given up.
    pub dead_lettered_at: Option<i64>,
}

/// How many events of one type on one stream there are, by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeStats {
    /// The stream.
    pub stream: String,
    /// The type.
    pub event_type: String,
    /// Their effect is stored.
    pub processed: i64,
    /// Not tried yet.
    pub pending: i64,
    /// Tried in vain: to be tried again, or given up.
    pub errors: i64,
}

/// How many events there are, and what the consumers made of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// By stream and type.
    pub types: Vec<TypeStats>,
    /// Changes in the projection of users.
    pub user_changes: i64,
    /// Messages in rooms.
    pub chat_messages: i64,
    /// Changes in the states of tasks.
    pub task_changes: i64,
    /// Lines of logs.
    pub log_lines: i64,
    /// Entries that each simple consumer has counted, by its name.
    pub tallies: Vec<(String, i64)>,
}

pub(super) async fn page(
    tx: &mut impl Tx,
    filter: &EventFilter,
    page: Page,
) -> Result<(Vec<EventRow>, i64), StoreError> {
    macro_rules! matching {
        ($start:literal, $end:literal) => {
            concat!(
                $start,
                " FROM events WHERE (CAST($1 AS TEXT) IS NULL OR event_type = $1) \
                 AND (CAST($2 AS TEXT) IS NULL OR stream = $2) AND (CAST($3 AS TEXT) IS NULL OR user_id = $3) \
                 AND (CAST($4 AS BOOLEAN) IS NULL OR processed = $4)",
                $end
            )
        };
    }
    let conditions: [Value; 4] = [
        filter.event_type.as_deref().into(),
        filter.stream.as_deref().into(),
        filter.user_id.as_deref().into(),
        Value::Flag(filter.processed),
    ];
    let total = tx.row(matching!("SELECT COUNT(*)", ""), &conditions).await?;
    let [a, b, c, d] = conditions;
    let rows = tx
        .rows(
            matching!(
                "SELECT uuid, stream, entry_id, event_type, payload, user_id, created_at, processed, processed_at, \
                 consumer, attempts, error, dead_lettered_at",
                " ORDER BY seq DESC LIMIT $5 OFFSET $6"
            ),
            &[a, b, c, d, page.limit.into(), page.offset.into()],
        )
        .await?;
    let rows: Result<_, _> = rows.iter().map(event).collect();
    Ok((rows?, total.map_or(Ok(0), |row| row.int(0))?))
}

fn event(row: &Row) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        id: row.text(0)?,
        stream: row.text(1)?,
        entry_id: row.maybe(2)?,
        event_type: row.text(3)?,
        payload: row.text(4)?,
        user_id: row.maybe(5)?,
        created_at: row.int(6)?,
        processed: row.flag(7)?,
        processed_at: row.maybe_int(8)?,
        consumer: row.maybe(9)?,
        attempts: row.int(10)?,
        error: row.maybe(11)?,
        dead_lettered_at: row.maybe_int(12)?,
    })
}

pub(super) async fn stats(tx: &mut impl Tx) -> Result<Stats, StoreError> {
    let rows = tx
        .rows(
            "SELECT stream, event_type, \
             COUNT(CASE WHEN processed THEN 1 END), \
             COUNT(CASE WHEN NOT processed AND error IS NULL THEN 1 END), \
             COUNT(CASE WHEN NOT processed AND error IS NOT NULL THEN 1 END) \
             FROM events GROUP BY stream, event_type ORDER BY stream, event_type",
            values![],
        )
        .await?;
    let of_type = |row: &Row| {
        Ok(TypeStats {
            stream: row.text(0)?,
            event_type: row.text(1)?,
            processed: row.int(2)?,
            pending: row.int(3)?,
            errors: row.int(4)?,
        })
    };
    let types: Result<_, StoreError> = rows.iter().map(of_type).collect();
    let sums = tx
        .row(
            "SELECT (SELECT CAST(COALESCE(SUM(changes), 0) AS BIGINT) FROM user_projection), \
             (SELECT CAST(COALESCE(SUM(messages), 0) AS BIGINT) FROM chat_rooms), \
             (SELECT CAST(COALESCE(SUM(changes), 0) AS BIGINT) FROM task_states), \
             (SELECT CAST(COALESCE(SUM(lines), 0) AS BIGINT) FROM log_counters)",
            values![],
        )
        .await?;
    let sum = |column| sums.as_ref().map_or(Ok(0), |row| row.int(column));
    let tallies = tx
        .rows(
            "SELECT reader, CAST(SUM(count) AS BIGINT) FROM tallies GROUP BY reader ORDER BY reader",
            values![],
        )
        .await?;
    let tallies: Result<_, StoreError> = tallies.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect();
    Ok(Stats {
        types: types?,
        user_changes: sum(0)?,
        chat_messages: sum(1)?,
        task_changes: sum(2)?,
        log_lines: sum(3)?,
        tallies: tallies?,
    })
}
