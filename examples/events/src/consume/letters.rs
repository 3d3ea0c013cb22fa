//! Notes in the audit trail which events became dead letters, whatever the reason: a failed handler, a consumer that
//! died with the event again and again, an entry that is no event. Every member does this; to note it twice is the same
//! as once.

use std::collections::BTreeMap;

use streamgate::connection::Redis;
use streamgate::fields::Fields;
use streamgate::stream::{DeadLetter, Entry, Item, RedisStream, Start, StreamKey};

use super::{LOOK, streams};
use crate::model::Arrival;
use crate::store::{GivenUp, Store};

/// Under which the places in the dead letters are kept.
const READER: &str = "dead-letters";

/// Notes dead letters, for ever.
pub(super) async fn run(store: Store, redis: Redis) {
    loop {
        if let Err(error) = follow(&store, &redis).await {
            tracing::debug!(%error, "dead letters are noted later");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Notes dead letters until there is another stream, or until the database cannot be used.
async fn follow(store: &Store, redis: &Redis) -> anyhow::Result<()> {
    let known = streams(store).await?;
    let places: BTreeMap<_, _> = store.checkpoints(READER).await?.into_iter().collect();
    let mut letters = Vec::new();
    for stream in &known {
        let key = stream.parse::<StreamKey>()?.dead_letters();
        let start = places.get(key.as_str()).map_or(Start::Beginning, |id| Start::After(*id));
        letters.push((RedisStream::of(redis, key), start));
    }
    let mut letters = RedisStream::tail_all(letters)?;
    loop {
        tokio::select! {
            Some((key, item)) = letters.next() => {
                if let Some(given_up) = given_up(&key, item?) {
                    store.dead_lettered(READER, &given_up).await?;
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

fn given_up(key: &StreamKey, item: Item<Fields>) -> Option<GivenUp> {
    let letter = DeadLetter::from(Entry { id: item.id, fields: item.value });
    let arrival = Arrival::read(&letter.stream, letter.origin_id?, &letter.fields, letter.attempts);
    Some(GivenUp {
        arrival,
        letter: item.id,
        letters: key.as_str().to_owned(),
        reason: letter.reason,
        consumer: letter.consumer,
    })
}
