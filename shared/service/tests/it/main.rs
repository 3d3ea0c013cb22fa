//! The library as a process uses it.

mod hung;
