//! The streams that this process serves, as the routes file (`ROUTES_FILE`) says.
//!
//! In reading order:
//!
//! 1. `plan`: which queues there are. A stream has up to three, one for each priority.
//! 2. `target`: who does the work of a queue; `handler` gives each request to it.
//! 3. `intake`: when a queue may take entries, by the breaker and the slots of its upstream and by its share of the
//!    slots of the process (`shares`).
//! 4. `supervisor` runs a responder for each queue, and follows the file, which `follow` watches.
//! 5. `served`: what runs, for the operations API and for housekeeping.

mod follow;
mod handler;
mod intake;
mod plan;
mod served;
mod shares;
mod supervisor;
mod target;

pub use follow::follow;
pub use handler::StreamHandler;
pub use served::{Served, ServedQueue};
pub use supervisor::{Setup, Supervisor};
