//! Whatever happens to Redis and to the connections to it.

mod clock_skew;
mod connections;
mod failover;
mod links;
mod moves;
mod outages;
mod refusals;
mod retries;
