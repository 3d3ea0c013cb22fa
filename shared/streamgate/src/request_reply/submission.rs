use opentelemetry::KeyValue;
use redis::{Cmd, Value};
use tokio::time::Instant;

use super::error::RequestErrorKind;
use super::pending::PendingReplies;
use crate::connection::{Error, Outbound};
use crate::envelope::Request;
use crate::stream::{StreamKey, append_command};
use crate::telemetry::Span;

/// A request on its way to the stream. Its reply completes the caller; so does a failure to store.
pub(super) struct Submission {
    pub(super) stream: StreamKey,
    pub(super) request: Request,
    pub(super) give_up_at: Instant,
    pub(super) pending: PendingReplies,
    /// It may have been stored by a try that got no answer.
    pub(super) uncertain: bool,
    /// From admission until it is stored.
    pub(super) span: Span,
}

/// Room for names, ids and numbers of a request beside its body.
const FIXED_SIZE: usize = 256;

impl Outbound for Submission {
    fn command(&self) -> Cmd {
        let mut cmd = append_command(self.stream.as_str(), 6, FIXED_SIZE + self.request.body.len());
        self.request.encode(|name, value| {
            cmd.arg(name).arg(value);
        });
        cmd
    }

    fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    fn became_uncertain(&mut self) {
        self.uncertain = true;
    }

    fn settle(mut self, result: Result<Value, Error>) {
        self.span.record(|| result.as_ref().ok().and_then(entry_id));
        if let Err(error) = result {
            tracing::debug!(id = %self.request.id, %error, uncertain = self.uncertain, "request not stored");
            let kind = match self.uncertain {
                true => RequestErrorKind::Unconfirmed,
                false => RequestErrorKind::Unavailable,
            };
            self.span.fail(if self.uncertain { "unconfirmed" } else { "not_stored" });
            self.pending.complete(self.request.id, Err(kind));
        }
    }
}

/// What Redis answers to XADD, as the id of the message.
fn entry_id(answer: &Value) -> Option<KeyValue> {
    let Value::BulkString(id) = answer else { return None };
    Some(KeyValue::new("messaging.message.id", String::from_utf8_lossy(id).into_owned()))
}
