//! The engine against real Redis servers.

mod dead_letters;
mod harness;
mod leases;
mod outages;
mod round_trip;
mod toolkit;
mod trimming;
mod walls;
