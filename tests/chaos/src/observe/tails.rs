//! Reads along on every stream: which entry holds which request, and what was stored where.

use std::collections::HashMap;
use std::time::Duration;

use redis::streams::StreamReadReply;
use redis::{FromRedisValue, Value};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Control, streams};
use crate::history::{Entry, Fields, Recorder};

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
    let answer: Value = cmd.query_async(connection).await?;
    let Ok(reply) = StreamReadReply::from_redis_value(answer) else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    for key in reply.keys {
        for entry in key.ids {
            let pairs: Vec<(&[u8], &[u8])> = entry
                .map
                .iter()
                .filter_map(|(name, value)| match value {
                    Value::BulkString(bytes) => Some((name.as_bytes(), &bytes[..])),
                    _ => None,
                })
                .collect();
            let fields = Fields::read(pairs);
            entries.push(Entry { stream: key.key.clone(), entry: entry.id, fields });
        }
    }
    Ok(entries)
}
