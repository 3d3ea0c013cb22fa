//! The metrics of the chat. Those of Redis, of connections and of the process come with the parts that have them.

use axum::http::StatusCode;
use metrics::{Counter, Gauge, counter, describe_counter};
use streamgate::telemetry::{Declare, declare_counter, declare_gauge};

use crate::client::End;

const REFUSED: &str = "chat_requests_refused_total";

pub(crate) struct ChatMetrics {
    /// Clients that listen.
    pub(crate) clients: Gauge,
    /// Messages stored.
    pub(crate) sent: Counter,
    /// Messages given to clients: one message for ten clients is ten.
    pub(crate) given: Counter,
    ended: [Counter; End::ALL.len()],
}

impl ChatMetrics {
    /// Declares them on the current recorder.
    pub(crate) fn declare() -> Self {
        describe_counter!(REFUSED, "Requests refused or failed, by status");
        Self {
            clients: declare_gauge("chat_clients", "Clients that listen"),
            sent: declare_counter("chat_messages_sent_total", "Messages stored on the stream"),
            given: declare_counter(
                "chat_messages_given_total",
                "Messages given to clients, once for each client",
            ),
            ended: End::ALL.map(|end| {
                let help = "Streams of clients that ended: left, slow, stalled or stopping";
                Declare::default().counter_of("chat_streams_ended_total", help, "reason", end.as_str())
            }),
        }
    }

    pub(crate) fn ended(&self, end: End) -> &Counter {
        &self.ended[end as usize]
    }

    pub(crate) fn refused(&self, status: StatusCode) {
        counter!(REFUSED, "status" => status.as_u16().to_string()).increment(1);
    }
}
