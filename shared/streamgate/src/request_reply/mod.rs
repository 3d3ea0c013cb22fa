//! Request and reply over two streams.
//!
//! The asking side: a [`Requester`] stamps a deadline, takes a place in [`PendingReplies`] and
//! appends the request; its reply listener reads the lane and completes whoever waits.
//! The answering side: a [`Responder`] takes deliveries, runs a [`Handler`] for each and settles
//! them: reply first, acknowledge after.
//!
//! A worker is a handler:
//!
//! ```
//! use streamgate::request_reply::{Handler, Response, Work};
//!
//! struct Shout;
//!
//! impl Handler for Shout {
//!     async fn handle(&self, work: Work) -> Response {
//!         match std::str::from_utf8(&work.request.body) {
//!             Ok(text) => Response::json(format!("{:?}", text.to_uppercase())),
//!             Err(_) => Response::problem(work.request.id, 422, "the body is no text"),
//!         }
//!     }
//! }
//! ```

mod admission;
mod busy_poll;
mod error;
mod execution;
mod handler;
mod housekeeping;
mod lane;
mod listener;
mod pending;
mod rehearsals;
mod requester;
mod responder;
mod settings;
mod settle;
mod settlement;
mod start;
mod strangers;
mod submission;
mod take_back;
mod untrimmed;
mod workers;

pub use error::{RequestError, RequestErrorKind};
pub use handler::{Handler, Response, Work};
pub use housekeeping::HousekeepingSettings;
pub use pending::{Arrival, Completion, PendingGuard, PendingReplies, Received};
pub use requester::{Answer, Call, Requester, RequesterSettings, Timing};
pub use responder::{PartEnded, Responder};
pub use settings::{ResponderSettings, WorkerGroup};
