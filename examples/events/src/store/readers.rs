//! Readers without a group: how far each has read, and what it has counted.

use std::collections::BTreeMap;

use streamgate::stream::EntryId;

use super::StoreError;
use super::backend::{Tx, values};

pub(super) async fn checkpoints(
    tx: &mut impl Tx,
    reader: &str,
) -> Result<Vec<(String, EntryId)>, StoreError> {
    let rows = tx
        .rows("SELECT stream, entry_id FROM checkpoints WHERE reader = $1 ORDER BY stream", values![reader])
        .await?;
    let place = |id: String| id.parse().unwrap_or(EntryId::MIN);
    rows.iter().map(|row| Ok((row.text(0)?, place(row.text(1)?)))).collect()
}

/// Moves a checkpoint from `from`; false if it is not there.
pub(super) async fn advance(
    tx: &mut impl Tx,
    reader: &str,
    stream: &str,
    from: Option<EntryId>,
    to: EntryId,
) -> Result<bool, StoreError> {
    let to = to.to_string();
    let moved = match from {
        None => {
            tx.run(
                "INSERT INTO checkpoints (reader, stream, entry_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                values![reader, stream, &to],
            )
            .await?
        }
        Some(from) => {
            tx.run(
                "UPDATE checkpoints SET entry_id = $3 WHERE reader = $1 AND stream = $2 AND entry_id = $4",
                values![reader, stream, &to, &from.to_string()],
            )
            .await?
        }
    };
    Ok(moved > 0)
}

/// Sets a checkpoint, wherever it was.
pub(super) async fn place(
    tx: &mut impl Tx,
    reader: &str,
    stream: &str,
    at: EntryId,
) -> Result<(), StoreError> {
    tx.run(
        "INSERT INTO checkpoints (reader, stream, entry_id) VALUES ($1, $2, $3) \
         ON CONFLICT (reader, stream) DO UPDATE SET entry_id = $3",
        values![reader, stream, &at.to_string()],
    )
    .await?;
    Ok(())
}

/// Counts entries by their type.
pub(super) async fn count(
    tx: &mut impl Tx,
    reader: &str,
    stream: &str,
    seen: &[(EntryId, String)],
) -> Result<(), StoreError> {
    let mut counts = BTreeMap::<&str, i64>::new();
    for (_, event_type) in seen {
        *counts.entry(event_type).or_default() += 1;
    }
    for (event_type, count) in counts {
        tx.run(
            "INSERT INTO tallies (reader, stream, event_type, count) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (reader, stream, event_type) DO UPDATE SET count = tallies.count + $4",
            values![reader, stream, event_type, count],
        )
        .await?;
    }
    Ok(())
}
