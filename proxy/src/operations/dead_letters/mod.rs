//! Lists dead letters, shows one, and replays or discards one or many. Every operation needs the admin
//! token, also those that only read: a dead letter holds a caller's data.

mod look;
mod many;
mod of_stream;
mod one;
mod report;
mod selection;

use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path};
use axum::middleware::from_fn_with_state;
use service::http::ProblemAnswer;
use streamgate::clock::Clock;
use streamgate::connection::Error;
use streamgate::envelope::Deadline;
use streamgate::stream::{EntryId, Replay};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Operations, access, head};
use crate::config::AdminToken;
use crate::streams::ServedQueue;

/// The longest body, in bytes: twice the size of five hundred ids.
const BODY_LIMIT: usize = 64 * 1024;

/// Most dead letters on one page or in one change.
const MOST: usize = 500;

/// The routes. They refuse every request without `token`.
pub(super) fn routes(token: Option<AdminToken>) -> OpenApiRouter<Operations> {
    OpenApiRouter::new()
        .routes(routes!(look::list))
        .routes(routes!(look::look, one::discard))
        .routes(routes!(one::replay))
        .merge(with_bodies())
        .route_layer(from_fn_with_state(token, access::admin_only))
}

/// The routes that read a body.
fn with_bodies() -> OpenApiRouter<Operations> {
    OpenApiRouter::new()
        .routes(routes!(many::replay))
        .routes(routes!(many::discard))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .route_layer(from_fn_with_state(BODY_LIMIT, head::announces))
}

impl Operations {
    /// The new deadline of a replayed request, since its own has usually passed.
    fn fresh_deadline(&self, queue: &ServedQueue) -> String {
        Deadline::after(queue.timeout, &**self.redis.clock() as &dyn Clock).unix_ms().to_string()
    }

    /// Replays `id`, logs and counts it.
    async fn replay(&self, queue: &ServedQueue, id: EntryId) -> Result<Replay, Error> {
        let deadline = self.fresh_deadline(queue);
        let replay = queue.group.dead_letters().replay(id, &[("deadline", &deadline)]).await?;
        if let Replay::Replayed(entry) = &replay {
            self.metrics.replayed.increment(1);
            tracing::info!(dead_letter = %id, %entry, "a dead letter was replayed");
        }
        Ok(replay)
    }

    /// Discards `ids`, logs and counts them.
    async fn discard(&self, queue: &ServedQueue, ids: &[EntryId]) -> Result<Vec<bool>, Error> {
        let were_there = queue.group.dead_letters().discard(ids).await?;
        for (id, _) in ids.iter().zip(&were_there).filter(|(_, was_there)| **was_there) {
            self.metrics.discarded.increment(1);
            tracing::info!(dead_letter = %id, "a dead letter was discarded");
        }
        Ok(were_there)
    }
}

/// Reads the id out of a path.
fn id_of_path(id: Result<Path<String>, PathRejection>) -> Result<EntryId, ProblemAnswer> {
    let Path(id) = id.map_err(|rejection| ProblemAnswer::new(400, rejection.body_text()))?;
    entry_id("id", &id).map_err(|rule| ProblemAnswer::new(400, rule))
}

/// Reads an id. The error is the rule that `text` breaks.
fn entry_id(name: &str, text: &str) -> Result<EntryId, String> {
    text.parse().map_err(|rule| format!("{name} {rule}"))
}

fn not_found(id: EntryId) -> ProblemAnswer {
    ProblemAnswer::new(404, format!("there is no dead letter {id} (any more)"))
}

/// Redis could not be read.
fn unreadable(error: &Error) -> ProblemAnswer {
    tracing::warn!(%error, "dead letters cannot be read");
    ProblemAnswer::new(503, format!("the dead letters cannot be reached now: {}", error.kind()))
}

/// Redis did not confirm a change.
fn unconfirmed(error: &Error) -> ProblemAnswer {
    tracing::warn!(%error, "dead letters cannot be changed");
    let detail = format!(
        "Redis did not confirm the change: {}; Redis may have made it, and it is safe to send the request again",
        error.kind()
    );
    ProblemAnswer::new(503, detail)
}
