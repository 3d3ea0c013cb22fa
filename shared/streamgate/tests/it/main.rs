//! The engine against real Redis servers.

mod harness;
mod leases;
mod outages;
mod round_trip;
mod toolkit;
mod trimming;
mod walls;
