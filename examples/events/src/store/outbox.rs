//! The outbox: events that a transaction has published and that are not known to be on their stream.

use streamgate::stream::EntryId;

use super::backend::{Row, Tx, values};
use super::{MOST_CUSTOM_STREAMS, StoreError};
use crate::model::{NewEvent, is_custom};

/// Puts an event into the audit trail and the outbox.
///
/// The order of the outbox is the order in which the rows of one user, task or room were changed: the transaction has
/// locked the row before it comes here, so the numbers of two transactions on one row grow in the order of their ends.
pub(super) async fn put(tx: &mut impl Tx, event: &NewEvent) -> Result<(), StoreError> {
    tx.run(
        "INSERT INTO events (uuid, stream, event_type, payload, user_id, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        values![
            &event.id,
            &event.stream,
            &event.event_type,
            &event.payload,
            event.user_id.as_deref(),
            event.created_at
        ],
    )
    .await?;
    tx.run(
        "INSERT INTO outbox (seq, uuid, stream) SELECT seq, uuid, stream FROM events WHERE uuid = $1",
        values![&event.id],
    )
    .await?;
    Ok(())
}

pub(super) async fn custom_streams(tx: &mut impl Tx) -> Result<Vec<String>, StoreError> {
    let rows = tx.rows("SELECT name FROM custom_streams ORDER BY name", values![]).await?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Remembers the custom streams of these events.
pub(super) async fn remember_streams(tx: &mut impl Tx, events: &[NewEvent]) -> Result<(), StoreError> {
    let mut added = 0;
    for event in events.iter().filter(|event| is_custom(&event.stream)) {
        let add = "INSERT INTO custom_streams (name) VALUES ($1) ON CONFLICT DO NOTHING";
        added += tx.run(add, values![&event.stream]).await?;
    }
    match added > 0 && custom_streams(tx).await?.len() > MOST_CUSTOM_STREAMS {
        true => Err(StoreError::TooManyStreams),
        false => Ok(()),
    }
}

pub(super) async fn streams(tx: &mut impl Tx) -> Result<Vec<String>, StoreError> {
    let rows = tx.rows("SELECT DISTINCT stream FROM outbox ORDER BY stream", values![]).await?;
    rows.iter().map(|row| row.text(0)).collect()
}

pub(super) async fn oldest(tx: &mut impl Tx, stream: &str, limit: i64) -> Result<Vec<NewEvent>, StoreError> {
    let event = |row: &Row| {
        Ok(NewEvent {
            id: row.text(0)?,
            stream: row.text(1)?,
            event_type: row.text(2)?,
            payload: row.text(3)?,
            user_id: None,
            created_at: row.int(4)?,
        })
    };
    let rows = tx
        .rows(
            "SELECT e.uuid, e.stream, e.event_type, e.payload, e.created_at \
             FROM outbox o JOIN events e ON e.seq = o.seq WHERE o.stream = $1 ORDER BY o.seq LIMIT $2",
            values![stream, limit],
        )
        .await?;
    rows.iter().map(event).collect()
}

/// Notes where an event is on its stream. A consumer may have noted it before, and an event that is not in the outbox
/// is left as it is.
pub(super) async fn take_out(tx: &mut impl Tx, id: &str, entry: EntryId) -> Result<(), StoreError> {
    if tx.run("DELETE FROM outbox WHERE uuid = $1", values![id]).await? > 0 {
        tx.run(
            "UPDATE events SET entry_id = $2 WHERE uuid = $1 AND entry_id IS NULL",
            values![id, &entry.to_string()],
        )
        .await?;
    }
    Ok(())
}

pub(super) async fn forget_arrived(tx: &mut impl Tx, stream: &str) -> Result<(), StoreError> {
    tx.run(
        "DELETE FROM outbox WHERE stream = $1 \
         AND seq IN (SELECT seq FROM events WHERE stream = $1 AND entry_id IS NOT NULL)",
        values![stream],
    )
    .await?;
    Ok(())
}

pub(super) async fn floor(tx: &mut impl Tx, stream: &str) -> Result<EntryId, StoreError> {
    let row = tx.row("SELECT entry_id FROM relay_floors WHERE stream = $1", values![stream]).await?;
    Ok(row.map(|row| row.text(0)).transpose()?.and_then(|id| id.parse().ok()).unwrap_or(EntryId::MIN))
}

pub(super) async fn raise_floor(tx: &mut impl Tx, stream: &str, entry: EntryId) -> Result<(), StoreError> {
    tx.run(
        "INSERT INTO relay_floors (stream, entry_id) VALUES ($1, $2) \
         ON CONFLICT (stream) DO UPDATE SET entry_id = $2",
        values![stream, &entry.to_string()],
    )
    .await?;
    Ok(())
}

pub(super) async fn len(tx: &mut impl Tx) -> Result<i64, StoreError> {
    let row = tx.row("SELECT COUNT(*) FROM outbox", values![]).await?;
    row.map_or(Ok(0), |row| row.int(0))
}
