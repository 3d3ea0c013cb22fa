//! The stream toolkit (skeleton).
mod key;
pub use key::{InvalidStreamKey, StreamKey};
