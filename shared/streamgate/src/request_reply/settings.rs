use std::sync::Arc;
use std::time::Duration;

use crate::stream::{GroupSettings, StreamKey};

/// Settings of a [`Responder`](super::Responder).
#[derive(Debug, Clone)]
pub struct ResponderSettings {
    /// Which stream, as whom.
    pub group: GroupSettings,
    /// The worker's name, as replies carry it.
    pub worker: Arc<str>,
    /// Replies go to this stream or one of its lanes; anything else is refused.
    pub reply_stream: StreamKey,
    /// Requests worked on at once.
    pub concurrency: usize,
    /// The longest a handler may take.
    pub handler_timeout: Duration,
    /// Deliveries after which an entry is given up.
    pub max_deliveries: u32,
    /// The deadline of a request that names none, counted from its entry.
    pub request_timeout: Duration,
}
