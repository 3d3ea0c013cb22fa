//! Tests of the worker from the outside.

mod open_meteo;
