//! The whole ingress on real ports, against real Redis servers, with a worker or without.

mod admission;
mod api_keys;
mod bad_input;
mod configuration;
mod cors;
mod description;
mod harness;
mod health;
mod hosts;
mod leftover;
mod lifecycle;
mod metrics;
mod outages;
mod round_trip;
