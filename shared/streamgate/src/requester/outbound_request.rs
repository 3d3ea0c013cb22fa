use opentelemetry::KeyValue;
use redis::Value;
use tokio::time::Instant;

use super::error::RequestErrorKind;
use super::pending::PendingReplies;
use crate::connection::{Arguments, Error, Outbound};
use crate::envelope::Request;
use crate::stream::{StreamKey, append_to};
use crate::telemetry::Span;

/// A request on its way to the stream. If it cannot be stored, its caller gets an error at once.
pub(super) struct OutboundRequest {
    pub(super) stream: StreamKey,
    pub(super) request: Request,
    pub(super) give_up_at: Instant,
    pub(super) pending: PendingReplies,
    /// True if a try without an answer may have stored it.
    pub(super) uncertain: bool,
    /// The span from admission until it is stored.
    pub(super) span: Span,
}

impl Outbound for OutboundRequest {
    fn write(&self, args: &mut Arguments<'_>) {
        append_to(self.stream.as_str(), args);
        self.request.encode(|name, value| {
            args.arg(name.as_bytes()).arg(value);
        });
    }

    fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    fn is_wanted(&self) -> bool {
        self.pending.is_waited_for(self.request.id)
    }

    fn became_uncertain(&mut self) {
        self.uncertain = true;
        self.pending.may_be_stored_twice(self.request.id);
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

/// The entry's id in the answer to XADD, as an attribute of the span.
fn entry_id(answer: &Value) -> Option<KeyValue> {
    let Value::BulkString(id) = answer else { return None };
    Some(KeyValue::new("messaging.message.id", String::from_utf8_lossy(id).into_owned()))
}
