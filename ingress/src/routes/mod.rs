//! What the routes do, one file each.

pub mod health;
pub mod weather;
