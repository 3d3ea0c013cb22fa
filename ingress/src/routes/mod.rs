//! The handlers of the routes.

pub mod answer;
pub mod any;
pub mod health;
mod passed_on;
mod route_cors;
pub mod weather;
