//! Tests of the worker from the outside.

mod dead_letters;
mod harness;
mod heads;
mod open_meteo;
mod operations;
mod secrets;
