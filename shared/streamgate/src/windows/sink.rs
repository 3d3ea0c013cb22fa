use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shape::Grid;
use super::{Shape, Window};
use crate::codec::{Codec, CodecError, Json};
use crate::connection::{Error, ErrorKind, Redis};
use crate::stream::{EntryId, InvalidStreamKey, Start, StreamKey};

/// Stores the results of windows, each once, however many processes compute them.
///
/// The id of an entry on the stream is the end of its window, `<end in milliseconds>-0`, so a second process cannot add
/// it again. If there are several results for one window, compute them together (a tuple of aggregates, or
/// [`PerKey`](super::PerKey)): they are one entry. Windows of another shape need a stream of their own.
///
/// Promise: a result is stored once; if [`WindowSink::write`] fails, write it again. Together with
/// [`WindowSink::resume`], no window is left out over restarts of the process, as long as the entries of the source are
/// there.
///
/// ```no_run
/// # async fn example(redis: streamgate::connection::Redis) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use streamgate::stream::{RedisStream, Start};
/// use streamgate::windows::{Count, Tumbling, WindowEvent, WindowSink, windows};
///
/// let orders = RedisStream::new(&redis, "orders")?;
/// let minutes = Tumbling::of(Duration::from_secs(60));
/// let sink = WindowSink::stream(&redis, "orders-per-minute")?;
/// let start = sink.resume(minutes, Start::Beginning).await?;
/// let mut counts = windows(&orders, minutes).start(start).aggregate(Count)?;
/// while let Some(event) = counts.next().await {
///     if let WindowEvent::Closed(window) = event? {
///         sink.write(&window).await?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct WindowSink {
    redis: Redis,
    key: StreamKey,
    target: Target,
}

#[derive(Clone, Copy)]
enum Target {
    /// A stream; about this many entries are kept.
    Stream { keep: Option<usize> },
    /// A key for each window, which expires.
    Keys { ttl: Duration },
}

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It was stored.
    Now,
    /// It was stored before, by this process or another.
    Before,
    /// Not stored: the stream has a later window, and not this one. It was trimmed, or it was never written: a process
    /// that began later was faster.
    Passed,
    /// Not stored, because items may be missing in it.
    Partial,
}

impl WindowSink {
    /// Stores each result as an entry of the stream `name`, in JSON: a
    /// [`StreamChannel`](crate::channel::StreamChannel) of [`Window`] reads it.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn stream(redis: &Redis, name: &str) -> Result<Self, InvalidStreamKey> {
        Ok(Self { redis: redis.clone(), key: name.parse()?, target: Target::Stream { keep: None } })
    }

    /// Stores each result under a key of its own, `<name>:<end in milliseconds>`, in JSON. The key expires after
    /// `ttl`, at least a millisecond.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn keys(redis: &Redis, name: &str, ttl: Duration) -> Result<Self, InvalidStreamKey> {
        Ok(Self { redis: redis.clone(), key: name.parse()?, target: Target::Keys { ttl } })
    }

    /// Keeps about so many results on the stream; the oldest are removed. Without it, all are kept.
    #[must_use]
    pub fn keep(mut self, results: usize) -> Self {
        if let Target::Stream { keep } = &mut self.target {
            *keep = Some(results);
        }
        self
    }

    /// Stores a result, unless it is there.
    ///
    /// # Errors
    /// It cannot be encoded, or it could not be stored. It may have been stored after all: writing it again is safe.
    pub async fn write<O: Serialize + DeserializeOwned>(
        &self,
        window: &Window<O>,
    ) -> Result<Stored, SinkError> {
        if window.partial {
            return Ok(Stored::Partial);
        }
        let body = Json.encode(window)?;
        let end = window.end_ms;
        Ok(match self.target {
            Target::Stream { keep } => {
                self.append(end, &body, Codec::<Window<O>>::content_type(&Json), keep).await?
            }
            Target::Keys { ttl } => self.set(end, &body, ttl).await?,
        })
    }

    /// Where to begin to read so that the windows after the last one on the stream are whole; `otherwise` if it
    /// has none. Keys say nothing about the last window, so for them it is always `otherwise`.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn resume(&self, shape: impl Into<Shape>, otherwise: Start) -> Result<Start, Error> {
        if let Target::Keys { .. } = self.target {
            return Ok(otherwise);
        }
        let mut last = redis::cmd("XREVRANGE");
        last.arg(self.key.as_str()).arg("+").arg("-").arg("COUNT").arg(1);
        let last = first_id(&self.redis.command(&last).await?);
        Ok(last.map_or(otherwise, |last| Start::After(Grid::unchecked(shape.into()).resume_after(last.ms))))
    }

    async fn append(
        &self,
        end: u64,
        body: &Bytes,
        content_type: &str,
        keep: Option<usize>,
    ) -> Result<Stored, Error> {
        let id = EntryId { ms: end, seq: 0 };
        let mut add = redis::cmd("XADD");
        add.arg(self.key.as_str());
        if let Some(keep) = keep {
            add.arg("MAXLEN").arg("~").arg(keep);
        }
        add.arg(id.to_string()).arg("content_type").arg(content_type).arg("body").arg(&body[..]);
        match self.redis.command(&add).await {
            Ok(_) => Ok(Stored::Now),
            Err(error) if is_not_greater(&error) => {
                let there = self.redis.command(&look_for(&self.key, id)).await?;
                Ok(if first_id(&there).is_some() { Stored::Before } else { Stored::Passed })
            }
            Err(error) => Err(error),
        }
    }

    async fn set(&self, end: u64, body: &Bytes, ttl: Duration) -> Result<Stored, Error> {
        let mut set = redis::cmd("SET");
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        set.arg(format!("{}:{end}", self.key)).arg(&body[..]).arg("NX").arg("PX").arg(ttl_ms);
        match self.redis.command(&set).await? {
            Value::Nil => Ok(Stored::Before),
            _ => Ok(Stored::Now),
        }
    }
}

/// True if XADD refused an id because the stream has it or a later one.
fn is_not_greater(error: &Error) -> bool {
    error.kind() == ErrorKind::Refused && error.message().contains("equal or smaller")
}

fn look_for(key: &StreamKey, id: EntryId) -> Cmd {
    let mut range = redis::cmd("XRANGE");
    let id = id.to_string();
    range.arg(key.as_str()).arg(&id).arg(&id);
    range
}

/// The id of the first entry in the answer to a range.
fn first_id(entries: &Value) -> Option<EntryId> {
    let Value::Array(entries) = entries else { return None };
    let Some(Value::Array(entry)) = entries.first() else { return None };
    entry.first().and_then(EntryId::from_value)
}
/// Why a result was not written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It could not be encoded; nothing was sent.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It could not be stored.
    #[error(transparent)]
    Redis(#[from] Error),
}
