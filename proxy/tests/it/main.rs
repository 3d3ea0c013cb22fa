//! Tests of the worker from the outside.

mod dead_letters;
mod harness;
mod open_meteo;
mod operations;
mod secrets;
