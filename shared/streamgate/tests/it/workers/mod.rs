//! Tests of workers: their names, leases, crashes and housekeeping.

mod abort;
mod housekeeping;
mod intake;
mod leases;
mod messages;
mod names;
mod poison;
