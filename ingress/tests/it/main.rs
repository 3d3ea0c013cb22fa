//! Tests of the whole ingress, with real ports, real Redis servers, and with or without a worker.

mod admission;
mod api_keys;
mod bad_input;
mod configuration;
mod cors;
mod description;
mod harness;
mod health;
mod hosts;
mod lifecycle;
mod metrics;
mod outages;
mod round_trip;
mod routes;
mod unread_body;
