//! Reads along on every stream: which entry holds which request, and what was stored where.

use std::collections::HashMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cluster::Control;
use crate::history::{Entry, Fields, Recorder};
use crate::setup::{REPLIES, streams};

/// Far shorter than any stream keeps what is finished.
const PERIOD: Duration = Duration::from_millis(20);

/// Records until `stop`. Ids grow with time, so a stream that started over is simply read on.
pub async fn follow(control: Control, recorder: Recorder, stop: CancellationToken) {
    let mut cursors: HashMap<String, String> =
        streams().into_iter().map(|stream| (stream, "0-0".to_owned())).collect();
    let mut connection = None;
    while !stop.is_cancelled() {
        if connection.is_none() {
            connection = control.connect().await.ok();
        }
        if let Some(open) = &mut connection {
            match read(open, &cursors).await {
                Ok(entries) => {
                    for entry in &entries {
                        cursors.insert(entry.stream.clone(), entry.entry.clone());
                    }
                    recorder.with(|history| history.entries.extend(entries));
                }
                Err(_) => connection = None,
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn read(
    connection: &mut redis::aio::MultiplexedConnection,
    cursors: &HashMap<String, String>,
) -> redis::RedisResult<Vec<Entry>> {
    let mut cmd = redis::cmd("XREAD");
    cmd.arg("COUNT").arg(1_000).arg("STREAMS");
    cursors.keys().for_each(|stream| {
        cmd.arg(stream);
    });
    cursors.values().for_each(|cursor| {
        cmd.arg(cursor);
    });
    let streams: Option<Vec<(String, Vec<Stored>)>> = cmd.query_async(connection).await?;
    let mut entries = Vec::new();
    for (stream, stored) in streams.into_iter().flatten() {
        for (entry, words) in stored {
            let (pairs, _) = words.as_chunks::<2>();
            let pairs = pairs.iter().map(|[name, value]| (&name[..], &value[..]));
            let all = match stream.starts_with(REPLIES) {
                true => Fields::read_replies(pairs),
                false => vec![Fields::read(pairs)],
            };
            let entry = |fields| Entry { stream: stream.clone(), entry: entry.clone(), fields };
            entries.extend(all.into_iter().map(entry));
        }
    }
    Ok(entries)
}

/// The id of an entry, its names and values.
type Stored = (String, Vec<Vec<u8>>);
