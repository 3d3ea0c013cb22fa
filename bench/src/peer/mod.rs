//! The peers of the gateway: what does the same in another way.
//!
//! What they have in common with it is in [`front`] (the HTTP side: the same server, limits, layers and
//! validation) and [`work`] (the same simulated forecast), so that only the way to the work differs.
//!
//! | Peer | Its way to the work |
//! |---|---|
//! | [`direct`] | none: the handler does it |
//! | [`nats_gateway`], [`nats_worker`] | NATS request/reply; [`wire`] is what they say to each other |
//! | [`echo_gateway`], [`echo_worker`] | Redis streams: the product's engine, for bodies of any size |
//! | [`raw_cycle`] | Redis streams without HTTP, runtime or promises: what remains is Redis |
//!
//! [`streams`] has no gateway: it appends and consumes entries ([`stream_task`]) for the trial `streams`.

pub mod direct;
pub mod echo_gateway;
pub mod echo_worker;
pub mod front;
pub mod nats_gateway;
pub mod nats_worker;
pub mod raw_cycle;
pub mod stream_task;
pub mod streams;
pub mod wire;
pub mod work;
