//! Tests of faults of Redis and of the connections to Redis.

mod clock_skew;
mod connections;
mod failover;
mod links;
mod moves;
mod outages;
mod refusals;
mod retries;
