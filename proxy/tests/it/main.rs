//! Tests of the worker from the outside.

mod harness;
mod open_meteo;
mod operations;
mod secrets;
