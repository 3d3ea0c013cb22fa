//! The chat as real processes: requests and streams over plain sockets, a real Redis server, kill -9.

mod faults;
mod harness;
mod joining;
mod keys;
mod process;
mod refusals;
mod slow;
mod streams;
