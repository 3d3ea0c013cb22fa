//! Appends encoded values: the one place of the typed door that writes to a stream.

use redis::{Cmd, Pipeline};

use crate::connection::{Error, LARGEST_PIPELINE, checked};
use crate::fields::Fields;
use crate::stream::{EntryId, RedisStream, Source};

/// The most entries in one pipeline.
const MOST_ENTRIES: usize = 512;

/// Appends `entries` in order. Returns the id of each entry that is known to be stored, and the first error. After an
/// error, no further pipeline is sent.
pub(super) async fn append_all(
    stream: &RedisStream,
    entries: &[Fields],
    max_len: Option<u64>,
) -> (Vec<Option<EntryId>>, Option<Error>) {
    let mut ids = Vec::with_capacity(entries.len());
    let mut failure = None;
    while ids.len() < entries.len() && failure.is_none() {
        let batch = &entries[ids.len()..];
        let batch = &batch[..as_one_pipeline(batch)];
        let mut pipeline = Pipeline::with_capacity(batch.len());
        for fields in batch {
            pipeline.add_command(xadd(stream, fields, max_len));
        }
        let sent = ids.len() + batch.len();
        match stream.redis().pipeline(&pipeline).await {
            Ok(answers) => {
                for answer in answers.into_iter().take(batch.len()) {
                    let id = checked(answer).and_then(|value| {
                        EntryId::from_value(&value).ok_or_else(|| Error::unexpected("XADD", &value))
                    });
                    ids.push(id.map_err(|error| failure.get_or_insert(error)).ok());
                }
                ids.resize(sent, None);
            }
            Err(error) => failure = Some(error),
        }
    }
    ids.resize(entries.len(), None);
    (ids, failure)
}

/// How many of the first entries make one pipeline; at least one.
fn as_one_pipeline(entries: &[Fields]) -> usize {
    let mut bytes = 0;
    let fitting = entries.iter().take(MOST_ENTRIES).take_while(|fields| {
        bytes += fields.size();
        bytes <= LARGEST_PIPELINE
    });
    fitting.count().max(1)
}

fn xadd(stream: &RedisStream, fields: &Fields, max_len: Option<u64>) -> Cmd {
    let mut cmd = redis::cmd("XADD");
    cmd.arg(stream.key().as_str());
    if let Some(most) = max_len {
        cmd.arg("MAXLEN").arg(most);
    }
    cmd.arg("*");
    for (name, value) in fields.iter() {
        cmd.arg(name).arg(value);
    }
    cmd
}
