//! The worker door: a loop that takes entries of a group, runs a handler for each and settles it, and keeps every
//! promise around that.
//!
//! In reading order:
//!
//! 1. [`Worker`] (`builder`) is what a program uses: a handler for values ([`Delivery`], `delivery`), run by
//!    `message_job`, counted by `stats`. The [`Responder`](crate::responder::Responder) is the other user of the engine.
//! 2. `engine` has the parts of a worker from its start to its end; `rehearsal` lists the commands it needs.
//! 3. `read_loop` takes entries from the stream; `due` says when delayed entries are due; an [`Intake`] limits what is
//!    taken.
//! 4. `dispatch` decides whether the work on an entry gets a task of its own.
//! 5. `execution` runs a `job` and watches it; the result is a settlement.
//! 6. `settler` stores replies and acknowledges; `reply_batch` packs replies into entries.
//! 7. `metrics` counts.

mod builder;
mod delivery;
mod dispatch;
mod due;
mod engine;
mod execution;
mod intake;
mod job;
mod message_job;
mod metrics;
mod read_loop;
mod rehearsal;
mod reply_batch;
mod settler;
mod stats;

pub use builder::{Worker, WorkerError};
pub use delivery::{Delivery, HandlerResult};
pub(crate) use engine::Engine;
pub use engine::PartEnded;
pub(crate) use execution::{Execution, Outcome};
pub use intake::{Grant, Intake};
pub(crate) use job::{Conclusion, Job, Outgoing};
pub(crate) use metrics::ReplyMetrics;
pub use metrics::WorkerMetrics;
pub(crate) use rehearsal::rehearsal_of;
pub use stats::{Moment, Stats, WorkerStats};
