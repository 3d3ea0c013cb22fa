//! Tests of the worker from the outside.

mod dead_letters;
mod description;
mod forward;
mod harness;
mod heads;
mod open_meteo;
mod operations;
mod secrets;
