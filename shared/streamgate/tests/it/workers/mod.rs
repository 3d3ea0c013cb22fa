//! Tests of workers: their names, leases, crashes and housekeeping.

mod abort;
mod housekeeping;
mod leases;
mod names;
mod poison;
