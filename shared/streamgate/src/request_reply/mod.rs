//! Request/reply on top of the stream toolkit (skeleton).
mod handler;
mod requester;
pub use handler::{Handler, Response, Work};
pub use requester::{Answer, Call, RequestError, RequestErrorKind, Requester, RequesterSettings, Timing};
