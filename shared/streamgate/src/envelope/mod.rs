//! What travels: a request and its reply, each written as the fields of a stream entry.
//!
//! In reading order: `request`; `reply`; `correlation_id`, which joins the two; `deadline`, after which the caller no
//! longer waits; `trace_context`, the trace they belong to; `http_head`, the HTTP request that a route passes on, whose
//! header fields `header_lines` writes; `problem`, the body of an error.
//!
//! Nothing here uses Redis. `docs/PROTOCOL.md` describes the same format for workers in other languages.

mod correlation_id;
mod deadline;
mod header_lines;
mod http_head;
mod problem;
mod reply;
mod request;
mod trace_context;

pub use correlation_id::CorrelationId;
pub use deadline::Deadline;
pub use http_head::HttpHead;
pub use problem::{FieldError, PROBLEM_JSON, Place, Problem};
pub use reply::Reply;
pub use request::{Request, is_media_type};
pub use trace_context::TraceContext;

/// Why an entry could not be read as a request or a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A required field is missing.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// The field's value does not follow its rule.
    #[error("field `{field}` is invalid: {rule}")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// The rule that the value must follow.
        rule: &'static str,
    },
}
