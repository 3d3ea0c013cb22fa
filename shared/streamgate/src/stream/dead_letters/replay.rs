use redis::Value;

use super::letter::{LEFT_OUT, OWN_FIELDS, REPLAY_OF};
use super::{DeadLetterQueue, EntryId};
use crate::connection::Error;

/// The result of the replay of one dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// This new entry of the stream has its original fields, and the dead letter is removed.
    Replayed(EntryId),
    /// There is no such dead letter, or it is already gone.
    NotFound,
    /// It cannot be put back unchanged; it stays.
    Refused(NotReplayable),
}

/// Why a dead letter cannot be put back unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReplayable {
    /// Some of its fields were not kept.
    #[error("{0} of its fields were too many to keep, so it cannot be put back as it was")]
    FieldsLeftOut(u64),
    /// It has more fields than a Lua call can take.
    #[error("it has {0} fields, more than can be put back in one step")]
    TooManyFields(u64),
    /// It has no original fields.
    #[error("it has no original fields, so there is nothing to put back")]
    Empty,
}

/// The most fields of one replay: a Lua call takes about 8,000 values, two for each field.
const MOST_REPLAYED: usize = 3_500;

impl DeadLetterQueue {
    /// Puts the original fields of dead letter `id` back on the stream as a new entry and removes
    /// the letter. Both are one step, so two callers cannot replay the same letter. If a field is named in
    /// `replace`, it gets the value given there; the field [`REPLAY_OF`] is added.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command. If no answer came, the letter may still have been
    /// replayed; the next try then returns [`Replay::NotFound`].
    pub async fn replay(&self, id: EntryId, replace: &[(&str, &str)]) -> Result<Replay, Error> {
        let (id, most) = (id.to_string(), MOST_REPLAYED.to_string());
        let own = OWN_FIELDS.len().to_string();
        let mut args = vec![&id, &most, REPLAY_OF, LEFT_OUT, &own];
        args.extend(OWN_FIELDS);
        args.extend(replace.iter().flat_map(|(name, value)| [*name, *value]));
        let args: Vec<&[u8]> = args.into_iter().map(str::as_bytes).collect();
        let keys = [self.stream.as_str(), self.key.as_str()];
        let answer = self.replay.run_aside(&self.redis, &keys, &args).await?;
        replay_from(&answer).ok_or_else(|| Error::unexpected("the replay script", &answer))
    }

    /// Removes dead letters; returns which of them existed, in the order of `ids`.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command. If no answer came, they may still have been removed.
    pub async fn discard(&self, ids: &[EntryId]) -> Result<Vec<bool>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = ids.iter().map(EntryId::to_string).collect();
        let args: Vec<&[u8]> = ids.iter().map(String::as_bytes).collect();
        let answer = self.discard.run_aside(&self.redis, &[self.key.as_str()], &args).await?;
        match redis::from_redis_value::<Vec<u64>>(answer) {
            Ok(removed) if removed.len() == ids.len() => Ok(removed.into_iter().map(|n| n > 0).collect()),
            _ => Err(Error::unexpected("XDEL", &Value::Nil)),
        }
    }
}

fn replay_from(answer: &Value) -> Option<Replay> {
    let parts = match answer {
        Value::Nil => return Some(Replay::NotFound),
        Value::Array(parts) => parts,
        _ => return None,
    };
    let number = || redis::from_redis_value_ref(parts.get(1)?).ok();
    Some(match parts.first()? {
        Value::BulkString(kind) => match &kind[..] {
            b"replayed" => Replay::Replayed(EntryId::from_value(parts.get(1)?)?),
            b"left out" => Replay::Refused(NotReplayable::FieldsLeftOut(number()?)),
            b"too many" => Replay::Refused(NotReplayable::TooManyFields(number()?)),
            b"empty" => Replay::Refused(NotReplayable::Empty),
            _ => return None,
        },
        _ => return None,
    })
}
