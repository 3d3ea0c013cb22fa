//! Eyes: each writes what it sees into the [`Recorder`](crate::history::Recorder) and judges nothing.

pub mod logs;
pub mod machine;
pub mod metrics;
pub mod monitor;
pub mod system;
pub mod tails;
