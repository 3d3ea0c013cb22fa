//! The load generator against a real HTTP server on a port of its own.

mod exit_codes;
mod gateway;
mod open_loop;
mod outcomes;
mod thresholds;
