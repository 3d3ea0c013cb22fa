//! Reading as a member of a consumer group.
//!
//! In reading order: [`Group`] and [`GroupSettings`] (`settings`) name a group; [`ConsumerGroup`] (`consumer_group`) is the group and this process's membership in it.
//! [`Consumer`] (`consumer`) reads entries; [`Claimer`] (`claimer`) takes over entries that other consumers let idle.
//! [`Delays`] (`delays`) delivers entries whose retry was delayed. All return [`LeasedEntry`]s (`leased_entry`), each with a [`Lease`] (`lease`). A [`Disposition`] says how an entry
//! is settled.

mod claimer;
mod consumer;
mod consumer_group;
mod delays;
mod lease;
mod leased_entry;
mod settings;

pub use claimer::Claimer;
pub use consumer::Consumer;
pub use consumer_group::{ConsumerGroup, InvalidName, LONGEST_DELAY};
pub use delays::Delays;
pub use lease::{Lease, Leases};
pub use leased_entry::{Disposition, LeasedEntry};
pub use settings::{Group, GroupSettings, Start};
