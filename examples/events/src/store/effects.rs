//! What consumers make of events: each event once, in the transaction that notes it in the audit trail.

use streamgate::stream::EntryId;

use super::backend::{Tx, Value, values};
use super::{StoreError, Verdict};
use crate::model::{Arrival, Effect, now_ms};

/// Applies arrivals, each event once, whatever comes twice: the delivery of an entry, or the event on its stream. The
/// row of the event decides, and its change and the effect are one transaction.
///
/// Transactions do not wait for each other in a circle, because all of them lock rows in one order: first those of the
/// events by their ids, as the relay does, then those that effects share.
pub(super) async fn apply(
    tx: &mut impl Tx,
    consumer: &str,
    arrivals: &[Arrival],
) -> Result<Vec<Verdict>, StoreError> {
    let mut verdicts = vec![Verdict::Duplicate; arrivals.len()];
    let mut effects = Vec::new();
    let mut by_id: Vec<usize> = (0..arrivals.len()).collect();
    by_id.sort_by_key(|at| &arrivals[*at].id);
    for at in by_id {
        let arrival = &arrivals[at];
        match Effect::of(arrival) {
            Ok(effect) if note_success(tx, consumer, arrival).await? => effects.push((at, effect)),
            Ok(_) => {}
            Err(fault) => {
                let reason = fault.to_string();
                note_failure(tx, consumer, arrival, &reason).await?;
                verdicts[at] = Verdict::Malformed(reason);
            }
        }
    }
    effects.sort_by(|(_, one), (_, other)| one.shared_row().cmp(&other.shared_row()));
    for (at, effect) in effects {
        verdicts[at] = match take_effect(tx, arrivals[at].entry, &effect).await? {
            Ok(()) => Verdict::Applied,
            Err(reason) => {
                take_back_success(tx, &arrivals[at], &reason).await?;
                Verdict::Failed(reason)
            }
        };
    }
    Ok(verdicts)
}

/// Marks the event as processed; false if it was before.
async fn note_success(tx: &mut impl Tx, consumer: &str, arrival: &Arrival) -> Result<bool, StoreError> {
    let (entry, now) = (arrival.entry.to_string(), now_ms());
    let updated = tx
        .run(
            "UPDATE events SET processed = TRUE, processed_at = $3, consumer = $4, attempts = $5, entry_id = $6, \
             error = NULL, dead_lettered_at = NULL WHERE uuid = $1 AND stream = $2 AND NOT processed",
            values![&arrival.id, &arrival.stream, now, consumer, i64::from(arrival.attempt), &entry],
        )
        .await?;
    if updated > 0 {
        return Ok(true);
    }
    // It was processed, or another program has put it on the stream.
    insert(tx, consumer, arrival, Some(now), None).await
}

/// Marks the event as not processed after all.
async fn take_back_success(tx: &mut impl Tx, arrival: &Arrival, reason: &str) -> Result<(), StoreError> {
    tx.run(
        "UPDATE events SET processed = FALSE, processed_at = NULL, error = $2 WHERE uuid = $1",
        values![&arrival.id, reason],
    )
    .await?;
    Ok(())
}

/// Notes why the event was not processed.
pub(super) async fn note_failure(
    tx: &mut impl Tx,
    consumer: &str,
    arrival: &Arrival,
    reason: &str,
) -> Result<(), StoreError> {
    let entry = arrival.entry.to_string();
    let updated = tx
        .run(
            "UPDATE events SET consumer = $3, attempts = $4, entry_id = $5, error = $6 \
             WHERE NOT processed AND ((uuid = $1 AND stream = $2) OR (stream = $2 AND entry_id = $5))",
            values![&arrival.id, &arrival.stream, consumer, i64::from(arrival.attempt), &entry, reason],
        )
        .await?;
    if updated == 0 {
        insert(tx, consumer, arrival, None, Some(reason)).await?;
    }
    Ok(())
}

/// Adds an event that the service did not publish itself; false if it is known.
async fn insert(
    tx: &mut impl Tx,
    consumer: &str,
    arrival: &Arrival,
    processed_at: Option<i64>,
    error: Option<&str>,
) -> Result<bool, StoreError> {
    let entry = arrival.entry.to_string();
    let added = tx
        .run(
            "INSERT INTO events (uuid, stream, entry_id, event_type, payload, user_id, created_at, processed, \
             processed_at, consumer, attempts, error) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
             ON CONFLICT DO NOTHING",
            values![
                &arrival.id,
                &arrival.stream,
                &entry,
                &arrival.event_type,
                &arrival.payload,
                arrival.user_id.as_deref(),
                arrival.created_at,
                Value::Flag(Some(processed_at.is_some())),
                Value::MaybeInt(processed_at),
                consumer,
                i64::from(arrival.attempt),
                error
            ],
        )
        .await?;
    Ok(added > 0)
}

/// Marks an event as given up, unless it was processed.
pub(super) async fn give_up(tx: &mut impl Tx, arrival: &Arrival, at: i64) -> Result<(), StoreError> {
    tx.run(
        "UPDATE events SET dead_lettered_at = $3 WHERE NOT processed AND stream = $2 AND (uuid = $1 OR entry_id = $4)",
        values![&arrival.id, &arrival.stream, at, &arrival.entry.to_string()],
    )
    .await?;
    Ok(())
}

/// Changes the tables of the consumers; the inner error is why that is not possible now, and then nothing is changed.
async fn take_effect(
    tx: &mut impl Tx,
    entry: EntryId,
    effect: &Effect,
) -> Result<Result<(), String>, StoreError> {
    match effect {
        Effect::User(user) => {
            // A group has no order, so the newest entry wins. `changes` counts every event once.
            let (ms, seq) = (entry.ms as i64, entry.seq as i64);
            tx.run(
                "INSERT INTO user_projection \
                 (user_id, username, email, status, changes, entry_ms, entry_seq, deleted_at) \
                 VALUES ($1, $2, $3, $4, 0, -1, -1, $5) ON CONFLICT (user_id) DO NOTHING",
                values![&user.user_id, &user.username, user.email.as_deref(), status(effect), None::<&str>],
            )
            .await?;
            tx.run(
                "UPDATE user_projection SET changes = changes + 1 WHERE user_id = $1",
                values![&user.user_id],
            )
            .await?;
            tx.run(
                "UPDATE user_projection SET username = $2, email = COALESCE($3, email), \
                 status = COALESCE($4, status), deleted_at = $5, entry_ms = $6, entry_seq = $7 \
                 WHERE user_id = $1 AND (entry_ms < $6 OR (entry_ms = $6 AND entry_seq < $7))",
                values![
                    &user.user_id,
                    &user.username,
                    user.email.as_deref(),
                    status(effect),
                    user.deleted_at.as_deref(),
                    ms,
                    seq
                ],
            )
            .await?;
        }
        Effect::Message(message) => {
            tx.run(
                "INSERT INTO chat_history (message_id, room_id, sender_id, receiver_id, content, sent_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (message_id) DO NOTHING",
                values![
                    &message.message_id,
                    &message.room_id,
                    &message.sender_id,
                    &message.receiver_id,
                    &message.content,
                    &message.timestamp
                ],
            )
            .await?;
            tx.run(
                "INSERT INTO chat_rooms (room_id, messages) VALUES ($1, 1) \
                 ON CONFLICT (room_id) DO UPDATE SET messages = chat_rooms.messages + 1",
                values![&message.room_id],
            )
            .await?;
        }
        Effect::TaskCreated(task) => {
            tx.run(
                "INSERT INTO task_states (task_id, title, assigned_to, state, changes) VALUES ($1, $2, $3, 'open', 1) \
                 ON CONFLICT (task_id) DO UPDATE SET changes = task_states.changes + 1",
                values![&task.task_id, &task.title, &task.assigned_to],
            )
            .await?;
        }
        Effect::TaskCompleted(task) => {
            let changed = tx
                .run(
                    "UPDATE task_states SET state = 'completed', completed_by = $2, changes = changes + 1 \
                     WHERE task_id = $1",
                    values![&task.task_id, &task.completed_by],
                )
                .await?;
            if changed == 0 {
                return Ok(Err(format!("task {} is not known yet", task.task_id)));
            }
        }
        Effect::LogLine(line) => {
            tx.run(
                "INSERT INTO log_counters (service, level, lines) VALUES ($1, $2, 1) \
                 ON CONFLICT (service, level) DO UPDATE SET lines = log_counters.lines + 1",
                values![&line.service, &line.level],
            )
            .await?;
        }
        Effect::Nothing => {}
    }
    Ok(Ok(()))
}

fn status(effect: &Effect) -> Option<&str> {
    match effect {
        Effect::User(user) => user.status.map(crate::model::Status::as_str),
        _ => None,
    }
}
