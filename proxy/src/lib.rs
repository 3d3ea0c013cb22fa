//! The worker of the weather example: takes requests from the stream, gets the weather, replies.
//!
//! Everything about streams, deadlines and settling is the `streamgate` library's; what is here
//! is the work itself. Start with [`weather`].

pub mod weather;
