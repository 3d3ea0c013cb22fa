//! Workers: their names, leases, crashes and upkeep.

mod abort;
mod housekeeping;
mod leases;
mod names;
mod poison;
