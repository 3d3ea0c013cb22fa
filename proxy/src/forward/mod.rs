//! The forward handler: sends a request to an HTTP service that knows nothing of the gateway, and makes a reply of its
//! answer.
//!
//! In reading order:
//!
//! 1. `handler` takes a request to its reply: it sends, waits and sends again, within the deadline.
//! 2. `outgoing` makes the HTTP request: its URL and, with `headers`, its header fields.
//! 3. `attempt` sends it once, and tells what was sent and what came back.
//! 4. `decision` is the status mapping: what follows from that.
//! 5. `upstream` is what all requests of one upstream share: its client (with `resolver`), its slots, its retry budget,
//!    and its `breaker`, which pauses the taking of entries.
//! 6. `metrics` counts.

mod attempt;
mod breaker;
mod decision;
mod handler;
mod headers;
mod metrics;
mod outgoing;
mod resolver;
mod upstream;

pub use breaker::{Breaker, Door};
pub use handler::forward;
pub use metrics::ForwardMetrics;
pub use upstream::{SetupError, UpstreamState};
