//! Requests that proxy forwards to an HTTP service, with a real Redis and a real TCP server. A test writes requests to
//! the stream and reads their replies as a gateway does.

mod bodies;
mod failures;
mod gateway;
mod headers;
mod kills;
mod outage;
mod queues;
mod reload;
mod statuses;
mod stock;
mod tls;
pub(crate) mod upstream;
