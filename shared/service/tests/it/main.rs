//! Tests of the library in a real process.

mod hung;
