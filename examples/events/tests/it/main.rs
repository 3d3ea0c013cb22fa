//! Whole processes on a real Redis server and on both databases. `api` has every endpoint, `faults` what happens when
//! something ends or is away, `load` many events, `settings` what the program refuses.

mod api;
mod faults;
mod harness;
mod load;
mod settings;
