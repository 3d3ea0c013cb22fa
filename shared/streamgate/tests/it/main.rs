//! Tests of the library against real Redis servers.

mod counts;
mod harness;
mod load;
mod logs;
mod requests;
mod server;
mod streams;
mod walls;
mod workers;
