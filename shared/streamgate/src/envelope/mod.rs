//! What travels: a request and its reply as flat fields of a stream entry, the id that joins
//! them, the deadline they share and the trace they belong to.
//!
//! Nothing here knows Redis; `docs/PROTOCOL.md` is the same text for people who write workers in
//! other languages.

mod correlation_id;
mod deadline;
mod problem;
mod reply;
mod request;
mod trace_context;

pub use correlation_id::CorrelationId;
pub use deadline::Deadline;
pub use problem::{FieldError, PROBLEM_JSON, Problem};
pub use reply::Reply;
pub use request::{Request, is_media_type};
pub use trace_context::TraceContext;

/// Why an entry could not be read as a request or a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A field that must be there is not.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field is there but does not follow its rule.
    #[error("field `{field}` is invalid: {rule}")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// What it must look like.
        rule: &'static str,
    },
}
