//! The whole product: the real binaries against a real Redis server, asked over HTTP.

mod abuse;
mod access;
mod disaster;
mod documented;
mod faults;
mod forecast;
mod harness;
mod healthcheck;
mod kills;
mod launcher;
mod log_pipe;
mod names;
mod outages;
mod shutdown;
mod tls;
mod traces;
