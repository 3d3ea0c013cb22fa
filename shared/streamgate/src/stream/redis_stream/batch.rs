use std::iter::Peekable;
use std::ops::Range;
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::RedisStream;
use super::large::is_large;
use super::xadd::{AppendError, AppendOptions, Cap, write};
use crate::connection::{Commands, Error, ExclusiveConnection, RetryLog, checked};
use crate::fields::Fields;
use crate::stream::EntryId;

/// The most entries in one pipeline. With larger ones, Redis would wait for this process, and this process for Redis.
const CHUNK: usize = 128;

impl RedisStream {
    /// Appends entries in order and returns their ids in the same order. Other writers may append between them.
    ///
    /// Any number is fine: the entries are taken from the iterator in chunks of 128 or 4 MB, and only one chunk is held
    /// at a time, beside 16 bytes for each id. An entry is sent once, and never again: what is not known to be stored
    /// is an error.
    ///
    /// ```no_run
    /// # async fn example(orders: streamgate::stream::RedisStream) -> Result<(), streamgate::stream::BatchError> {
    /// use streamgate::fields::Fields;
    ///
    /// let entries = (0..100_000).map(|n| Fields::from_iter([("number", n.to_string())]));
    /// let ids = orders.append_batch(entries).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`BatchError`] says which entries are stored. No chunk is sent after a failure.
    pub async fn append_batch(
        &self,
        entries: impl IntoIterator<Item = Fields>,
    ) -> Result<Vec<EntryId>, BatchError> {
        self.append_batch_capped(entries, None).await
    }

    /// As [`RedisStream::append_batch`], and deletes the oldest entries with each append, as `cap` says.
    ///
    /// # Errors
    /// The same as for [`RedisStream::append_batch`].
    pub async fn append_batch_capped(
        &self,
        entries: impl IntoIterator<Item = Fields>,
        cap: Option<Cap>,
    ) -> Result<Vec<EntryId>, BatchError> {
        let mut batch = Batch {
            stream: self,
            options: AppendOptions { cap, ..AppendOptions::default() },
            ids: Vec::new(),
            connection: self.outlets.connection(&self.redis),
            commands: Commands::default(),
        };
        let result = batch.append(entries.into_iter().peekable()).await;
        let Batch { ids, connection, .. } = batch;
        self.outlets.give_back(connection);
        result.map(|()| ids)
    }
}

/// Takes the next entries as long as they go along in one chunk.
fn batch_up(
    entries: &mut Peekable<impl Iterator<Item = Fields>>,
    mut goes_along: impl FnMut(&Fields) -> bool,
) {
    for _ in 0..CHUNK {
        if entries.next_if(|fields| goes_along(fields)).is_none() {
            return;
        }
    }
}

struct Batch<'a> {
    stream: &'a RedisStream,
    options: AppendOptions,
    /// The ids so far: those of the first entries.
    ids: Vec<EntryId>,
    connection: ExclusiveConnection,
    /// The next chunk.
    commands: Commands,
}

impl Batch<'_> {
    async fn append(
        &mut self,
        mut entries: Peekable<impl Iterator<Item = Fields>>,
    ) -> Result<(), BatchError> {
        while let Some(first) = entries.peek() {
            if first.is_empty() {
                return Err(self.failed(AppendError::NoFields));
            }
            if is_large(first) {
                let Some(large) = entries.next() else { break };
                self.append_large(&large).await?;
                continue;
            }
            let (key, options, commands) = (&self.stream.key, &self.options, &mut self.commands);
            batch_up(&mut entries, |fields| {
                !fields.is_empty()
                    && !is_large(fields)
                    && commands.command_if_it_fits(|args| write(key, fields, options, args))
            });
            self.append_chunk().await?;
        }
        Ok(())
    }

    async fn append_chunk(&mut self) -> Result<(), BatchError> {
        if let Err(error) = self.connect().await {
            return Err(self.failed(error.into()));
        }
        let first = self.ids.len();
        let sent = first..first + self.commands.len();
        let answers = match self.connection.pipeline(&self.commands).await {
            Ok(answers) => answers,
            Err(error) => {
                let uncertain = AppendError::Unconfirmed(error);
                return Err(BatchError { uncertain: sent, ..self.failed(uncertain) });
            }
        };
        self.commands.clear();
        let mut failure: Option<BatchError> = None;
        for (position, answer) in sent.zip(answers) {
            match (id_from(answer), &mut failure) {
                (Ok(id), None) => self.ids.push(id),
                (Ok(id), Some(failure)) => failure.stored.push((position, id)),
                (Err(error), None) => failure = Some(self.failed(error.into())),
                (Err(_), Some(_)) => {}
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn append_large(&mut self, fields: &Fields) -> Result<(), BatchError> {
        if let Err(error) = self.connect().await {
            return Err(self.failed(error.into()));
        }
        let stream = self.stream;
        let once = Duration::ZERO;
        let outcome = match stream.append_large(fields, &self.options, once).await {
            Ok(outcome) => outcome,
            Err(error) => return Err(self.failed(error)),
        };
        match stream.id_in(outcome.answer, outcome.uncertain, &self.options).await {
            Ok(id) => {
                self.ids.push(id);
                Ok(())
            }
            Err(error @ AppendError::Unconfirmed(_)) => {
                let position = self.ids.len();
                Err(BatchError { uncertain: position..position + 1, ..self.failed(error) })
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Connects. Nothing has been sent yet, so it can be tried for as long as the stream's patience.
    async fn connect(&mut self) -> Result<(), Error> {
        let give_up_at = Instant::now() + self.stream.patience;
        let mut outage = RetryLog::new("append");
        loop {
            let Err(error) = self.connection.connect().await else {
                outage.healed();
                return Ok(());
            };
            let pause = outage.failed(&error);
            if !error.is_about_the_connection() || Instant::now() + pause >= give_up_at {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The error for the first entry that has no id.
    fn failed(&self, source: AppendError) -> BatchError {
        BatchError {
            position: self.ids.len(),
            stored: self.ids.iter().copied().enumerate().collect(),
            uncertain: 0..0,
            source,
        }
    }
}

fn id_from(answer: Value) -> Result<EntryId, Error> {
    let value = checked(answer)?;
    EntryId::from_value(&value).ok_or_else(|| Error::unexpected("XADD", &value))
}

/// Not all entries of a batch were appended. An entry that is neither in `stored` nor in `uncertain` is not stored.
///
/// ```no_run
/// # use streamgate::fields::Fields;
/// # use streamgate::stream::{BatchError, RedisStream};
/// # async fn example(orders: RedisStream, entries: Vec<Fields>) -> Result<(), BatchError> {
/// if let Err(error) = orders.append_batch(entries.clone()).await {
///     // Sends the rest again. The uncertain entries may then be there twice.
///     let stored = |position: &usize| error.stored.iter().any(|(at, _)| at == position);
///     let rest = (0..entries.len()).filter(|position| !stored(position));
///     orders.append_batch(rest.map(|position| entries[position].clone())).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[error(
    "entry {position} of the batch failed; {} entries are stored{}, and no other: {source}",
    stored.len(),
    uncertain_text(uncertain)
)]
pub struct BatchError {
    /// The position of the first entry that failed, counted from 0. All entries before it are stored.
    pub position: usize,
    /// The entries that are stored: their positions and ids, in order.
    pub stored: Vec<(usize, EntryId)>,
    /// The positions of the entries of which it is not known whether they are stored, because no answer came.
    pub uncertain: Range<usize>,
    /// Why the entry at `position` failed.
    #[source]
    pub source: AppendError,
}

fn uncertain_text(uncertain: &Range<usize>) -> String {
    match uncertain.len() {
        0 => String::new(),
        _ => format!(", entries {} to {} may be", uncertain.start, uncertain.end - 1),
    }
}
