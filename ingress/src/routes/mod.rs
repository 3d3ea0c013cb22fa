//! The handlers of the routes.

pub mod answer;
pub mod health;
pub mod weather;
