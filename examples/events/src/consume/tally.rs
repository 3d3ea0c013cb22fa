//! `events consumer`: reads all streams without a group and counts their entries by type.
//!
//! Its effect, a count, is one that a repetition would falsify. The count and the place in the stream change in one
//! transaction, so every entry counts once, however the process ends.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use futures_util::FutureExt;
use streamgate::connection::Redis;
use streamgate::fields::Fields;
use streamgate::stream::{EntryId, ReadError, RedisStream, Start, TailAll};

use super::{LOOK, streams};
use crate::config::ConsumerSettings;
use crate::model::is_event_type;
use crate::store::{Store, StoreError};

/// Entries in one transaction.
const MOST: usize = 256;

/// Entries of the streams that were read and not counted yet.
type Seen = BTreeMap<String, Vec<(EntryId, String)>>;

/// Counts for ever.
pub(super) async fn run(settings: &ConsumerSettings, store: Store, redis: Redis) -> anyhow::Result<()> {
    let mut told = false;
    loop {
        match follow(settings, &store, &redis).await {
            Err(Stopped::Store(StoreError::Unavailable(error))) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "the database cannot be used: counting goes on later");
                }
                tokio::time::sleep(LOOK).await;
            }
            Err(Stopped::Store(error)) => return Err(error).context("nothing can be counted"),
            Err(Stopped::Moved(stream)) => bail!(
                "another process reads {stream} under the name {}: give this one another --name",
                settings.name
            ),
            Ok(()) => told = false,
        }
    }
}

/// Why counting stopped.
enum Stopped {
    Store(StoreError),
    /// The place in this stream was moved by another process.
    Moved(String),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Counts from the kept places on, until there is another stream or the database cannot be used.
async fn follow(settings: &ConsumerSettings, store: &Store, redis: &Redis) -> Result<(), Stopped> {
    let known = streams(store).await?;
    let mut places: BTreeMap<_, _> = store.checkpoints(&settings.name).await?.into_iter().collect();
    let sources = known.iter().filter_map(|stream| {
        let start = places.get(stream).map_or(settings.from, |id| Start::After(*id));
        Some((RedisStream::new(redis, stream).ok()?, start))
    });
    let Ok(mut tail) = RedisStream::tail_all(sources) else { return Ok(()) };
    loop {
        tokio::select! {
            first = tail.next() => {
                let mut seen = Seen::new();
                let mut next = first;
                while let Some((stream, item)) = next {
                    note(&mut seen, stream.as_str(), item, &tail);
                    if seen.values().map(Vec::len).sum::<usize>() == MOST {
                        break;
                    }
                    next = tail.next().now_or_never().flatten();
                }
                for (stream, entries) in seen {
                    let from = places.get(&stream).copied();
                    if !store.tally(&settings.name, &stream, from, &entries).await? {
                        return Err(Stopped::Moved(stream));
                    }
                    if let Some((last, _)) = entries.last() {
                        places.insert(stream, *last);
                    }
                }
            }
            () = tokio::time::sleep(LOOK) => {
                if streams(store).await? != known {
                    return Ok(());
                }
            }
        }
    }
}

fn note(
    seen: &mut Seen,
    stream: &str,
    item: Result<streamgate::stream::Item<Fields>, ReadError>,
    tail: &TailAll<Fields>,
) {
    if let Some((from, to)) = tail.missed() {
        tracing::warn!(stream, %from, %to, "entries were trimmed before they were counted");
    }
    match item {
        Ok(item) => {
            let name = item.value.text("eventType").filter(|name| is_event_type(name)).unwrap_or("unknown");
            seen.entry(stream.to_owned()).or_default().push((item.id, name.to_owned()));
        }
        Err(error) => tracing::warn!(stream, %error, "a stream cannot be read"),
    }
}
