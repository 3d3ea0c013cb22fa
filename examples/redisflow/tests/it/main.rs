//! The scenarios of the system, with real processes, a real Redis server and kill -9.

mod commands;
mod demo;
mod flow;
mod harness;
mod kills;
mod outages;
mod telemetry;
