use std::time::Duration;

use redis::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::RedisStream;
use super::large::is_large;
use super::small::Append;
use super::xadd::{AppendError, AppendOptions, Outcome};
use crate::connection::{Error, ErrorKind};
use crate::fields::Fields;
use crate::resilience::Backoff;
use crate::stream::EntryId;

/// Bounds of the pause before an entry is handed to the writer again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl RedisStream {
    /// Appends one entry and returns the id that Redis gave it. Entries that are appended at the same time share a
    /// pipeline. If the future is dropped, the entry may still be stored.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(&self, fields: Fields) -> Result<EntryId, AppendError> {
        self.append_with(fields, AppendOptions::default()).await
    }

    /// Appends one entry and returns its id. An entry with an id of its own is stored once, however often it was sent.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append_with(&self, fields: Fields, options: AppendOptions) -> Result<EntryId, AppendError> {
        if fields.is_empty() {
            return Err(AppendError::NoFields);
        }
        // Needed to recognise an entry that was stored although its answer was lost.
        let expected = options.id.map(|_| fields.clone());
        let outcome = match is_large(&fields) {
            true => self.append_large(&fields, &options, self.patience).await?,
            false => self.append_small(fields, options).await,
        };
        match (self.id_in(outcome.answer, outcome.uncertain, &options).await, expected) {
            (Err(AppendError::NotGreater { id, .. }), Some(expected))
                if outcome.uncertain
                    && self.get(id).await?.is_some_and(|stored| stored.fields == expected) =>
            {
                Ok(id)
            }
            (result, _) => result,
        }
    }

    /// Hands the entry to the writer, again and again for as long as the stream's patience: the writer gives up early
    /// while the circuit is open.
    async fn append_small(&self, mut fields: Fields, options: AppendOptions) -> Outcome {
        let give_up_at = Instant::now() + self.patience;
        let _waiting = self.outlets.wait();
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let mut uncertain = false;
        loop {
            let (done, settled) = oneshot::channel();
            let key = self.key.clone();
            let append = Append { key, fields, options, give_up_at, uncertain, done };
            let queued = self.outlets.writer(&self.redis).send(append).await;
            let settled = match queued {
                Ok(()) => settled.await.ok(),
                Err(_) => None,
            };
            let Some((outcome, unsent)) = settled else {
                let answer = Err(Error::new(ErrorKind::Unreachable, "the writer of the stream has ended"));
                return Outcome { answer, uncertain: true };
            };
            let pause = backoff.next_delay();
            let failed = outcome.answer.as_ref().is_err_and(Error::is_about_the_connection);
            if !failed || Instant::now() + pause >= give_up_at {
                return outcome;
            }
            (fields, uncertain) = (unsent, outcome.uncertain);
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads the answer to an append.
    pub(super) async fn id_in(
        &self,
        answer: Result<Value, Error>,
        uncertain: bool,
        options: &AppendOptions,
    ) -> Result<EntryId, AppendError> {
        match answer {
            Ok(Value::Nil) => Err(AppendError::NoStream { key: self.key.clone() }),
            Ok(value) => EntryId::from_value(&value).ok_or_else(|| Error::unexpected("XADD", &value).into()),
            Err(error) if is_not_greater(&error) => match options.id {
                Some(id) => Err(AppendError::NotGreater { id, last: self.last_id().await? }),
                None => Err(error.into()),
            },
            Err(error) if uncertain && error.is_about_the_connection() => {
                Err(AppendError::Unconfirmed(error))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// True if XADD refused an id because the stream has had it or a greater one.
fn is_not_greater(error: &Error) -> bool {
    error.message().contains("equal or smaller than") || error.message().contains("must be greater than 0-0")
}
