//! Tests of the engine against real Redis servers.

mod abort;
mod absence;
mod ambiguous;
mod clock_skew;
mod connections;
mod counts;
mod dead_letters;
mod failover;
mod harness;
mod housekeeping;
mod leases;
mod links;
mod load;
mod logs;
mod moves;
mod names;
mod outages;
mod poison;
mod refusals;
mod replies;
mod retries;
mod round_trip;
mod toolkit;
mod trimming;
mod walls;
