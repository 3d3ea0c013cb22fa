//! The side that replies: a [`Responder`] takes requests from the stream, runs a [`Handler`] for each and
//! settles it: first it stores the reply, then it acknowledges the entry.
//!
//! In reading order:
//!
//! 1. `handler`: the trait to implement; `settings`.
//! 2. [`worker`](crate::worker) takes entries, keeps their leases and settles them: a responder is a worker whose
//!    settlement has a reply.
//! 3. `request_job` is its job: it reads the request, runs the handler and makes the reply (`outgoing`).
//! 4. `metrics` counts.
//!
//! A worker is a handler:
//!
//! ```
//! use streamgate::responder::{Handler, Response, Work};
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

mod handler;
mod metrics;
mod outgoing;
mod request_job;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::request_job::RequestJob;
use crate::connection::Redis;
use crate::stream::{ConsumerGroup, StreamKey};
use crate::telemetry::{Latch, Readiness};
use crate::worker::{Engine, Intake, PartEnded};

pub use handler::{Handler, Response, Work};
pub use metrics::ResponderMetrics;
pub use settings::ResponderSettings;

/// A worker that replies: takes requests from the stream, runs a [`Handler`] for each and settles it.
///
/// Promise: at least once, with a lease, up to the request's deadline. XACK never precedes the stored reply.
pub struct Responder<H> {
    redis: Redis,
    group: ConsumerGroup,
    settings: ResponderSettings,
    metrics: ResponderMetrics,
    handler: H,
    reading: Latch,
    permitted: Latch,
    intake: Option<Arc<dyn Intake>>,
}

impl<H: Handler> Responder<H> {
    /// A worker that has not started. It adds two parts to `readiness`: `reader` is ready while the worker can read
    /// the stream, and `permissions` while Redis permits every command that the worker needs. If a command is denied,
    /// the worker takes no entries, because it could not finish them.
    pub fn new(
        redis: Redis,
        settings: ResponderSettings,
        metrics: ResponderMetrics,
        readiness: &Readiness,
        handler: H,
    ) -> Self {
        let group = ConsumerGroup::new(redis.clone(), settings.group.clone(), metrics.worker.group.clone());
        let (reading, permitted) = (readiness.latch("reader"), readiness.latch("permissions"));
        Self { redis, group, settings, metrics, handler, reading, permitted, intake: None }
    }

    /// Takes only as many requests as `intake` grants. The slots of the worker are those of `intake`, whatever
    /// [`ResponderSettings::concurrency`] says.
    #[must_use]
    pub fn intake(self, intake: Arc<dyn Intake>) -> Self {
        Self { intake: Some(intake), ..self }
    }

    /// The consumer group that the worker belongs to.
    pub fn group(&self) -> &ConsumerGroup {
        &self.group
    }

    /// Works until `stop`. Then it finishes the requests it holds within `grace`, hands back the others and leaves
    /// the group. If another worker with its name is alive, this worker takes a different name.
    ///
    /// # Errors
    /// A part of the worker ended before `stop`, which is a defect. Other workers claim the entries it held.
    pub async fn run(self, stop: CancellationToken, grace: Duration) -> Result<(), PartEnded> {
        let Self { redis, group, settings, metrics, handler, reading, permitted, intake } = self;
        let engine = Engine {
            group,
            metrics: metrics.worker.clone(),
            replies: metrics.of_replies(),
            concurrency: settings.concurrency,
            intake,
            housekeeping: settings.housekeeping,
            lane_ttl: StreamKey::lane_ttl(settings.request_timeout),
            delays: false,
            rehearsal: settings.rehearsal(),
            reading,
            permitted,
            job: RequestJob { handler, settings, metrics, clock: Arc::clone(redis.clock()) },
            redis,
        };
        engine.run(stop, grace).await
    }
}
