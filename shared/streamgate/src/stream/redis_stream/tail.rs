//! Reading a stream, or several, without a group.

use super::RedisStream;
use crate::fields::Fields;
use crate::stream::{InvalidStreams, Start, Tail, TailAll};

impl RedisStream {
    /// Every entry from `start` on: those that are there, and then new ones as they come. See [`Tail`] for what it
    /// promises and for an example.
    pub fn tail(&self, start: Start) -> Tail<Fields> {
        Tail::new(self, start)
    }

    /// Every entry of several streams, each from its start on, over one connection. See [`TailAll`] for what it
    /// promises and for an example.
    ///
    /// # Errors
    /// There is no stream, one is there twice, or they are on two servers.
    pub fn tail_all(
        streams: impl IntoIterator<Item = (Self, Start)>,
    ) -> Result<TailAll<Fields>, InvalidStreams> {
        TailAll::new(streams)
    }
}
