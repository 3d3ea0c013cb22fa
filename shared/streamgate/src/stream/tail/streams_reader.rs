use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Value};
use tokio::time::Instant;

use super::answers::{Answers, EachAnswer};
use super::check_role;
use super::place::{News, Place};
use crate::connection::{BlockingConnection, Error, ErrorKind, Redis, checked};
use crate::stream::{Entry, EntryId, Start, StreamKey};

/// Where a reader begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Begin {
    Start(Start),
    /// With the last entry of the stream.
    LastEntry,
}

/// Reads several streams over one connection, each in its order.
///
/// It connects again by itself, and checks after each failure and each quiet read that the node is a primary and
/// that each stream continues what was read. A stream that cannot be read does not stop the others.
pub(crate) struct StreamsReader {
    connection: BlockingConnection,
    places: Vec<Place>,
    /// The most entries of one stream in one read.
    most: usize,
    /// True after a failed or quiet read: the next read checks the streams first.
    unchecked: bool,
    checked_at: Instant,
    /// The server that the places belong to.
    server: Option<String>,
    /// True if the reader returns as soon as a check has found that all entries were read.
    tells_quiet: bool,
}

/// What one or more reads brought; the news come before the entries.
#[derive(Default)]
pub(crate) struct Findings {
    /// With the number of the stream.
    pub(crate) news: Vec<(usize, News)>,
    pub(crate) batches: Vec<Batch>,
    /// The server's time in milliseconds at which all entries of all streams had been read.
    pub(crate) quiet_at: Option<u64>,
}

/// Entries of one stream.
pub(crate) struct Batch {
    /// The number of the stream.
    pub(crate) of: usize,
    pub(crate) entries: Vec<Entry>,
    /// True if the stream may have more entries.
    pub(crate) full: bool,
}

/// The most entries in one read of all streams together.
const LARGEST_READ: usize = 128;

/// No read blocks for longer: a quiet stream is checked after each.
const LONGEST_BLOCK: Duration = Duration::from_secs(60);

/// How often a stream that cannot be read is tried again while the others are read.
const RETRY_FAULTY: Duration = Duration::from_secs(1);

impl StreamsReader {
    /// A reader that blocks up to `block` per read (1 ms to 60 s); `part` names it in logs.
    pub(crate) fn new(
        redis: Redis,
        streams: Vec<(StreamKey, Begin)>,
        block: Duration,
        part: &'static str,
    ) -> Self {
        // Redis takes zero for "for ever".
        let block = block.clamp(Duration::from_millis(1), LONGEST_BLOCK);
        let most = (LARGEST_READ / streams.len().max(1)).max(1);
        Self {
            connection: BlockingConnection::new(redis, block, part),
            places: streams.into_iter().map(|(key, from)| Place::new(key, from)).collect(),
            most,
            unchecked: true,
            checked_at: Instant::now(),
            server: None,
            tells_quiet: false,
        }
    }

    /// Also returns when all entries have been read and no new one comes.
    pub(crate) fn telling_quiet(mut self) -> Self {
        self.tells_quiet = true;
        self
    }

    /// The key of stream number `of`.
    pub(crate) fn key(&self, of: usize) -> &StreamKey {
        &self.places[of].key
    }

    /// The last entry that was read of stream number `of`, or the entry after which it began.
    pub(crate) fn position(&self, of: usize) -> EntryId {
        self.places[of].position()
    }

    /// True if the place to begin in stream number `of` is known.
    pub(crate) fn has_begun(&self, of: usize) -> bool {
        self.places[of].has_begun()
    }

    /// True if the last read succeeded.
    pub(crate) fn is_reading(&self) -> bool {
        self.connection.failures() == 0
    }

    /// Reads once, at most for the blocking time, and pauses after a failure. The first successful call finds the place
    /// to begin and brings no entries, if that is not a given id. A failure that a person must repair is
    /// reported once; all others are only logged, because the reader tries again until it works.
    pub(crate) async fn read(&mut self) -> Findings {
        let mut findings = Findings::default();
        if let Err(error) = self.try_read(&mut findings).await {
            self.unchecked = true;
            let is_new = self.is_reading();
            let pause = self.connection.failed(&error);
            if is_new && needs_a_person(error.kind()) && findings.news.is_empty() {
                findings.news.push((0, News::Fault(error)));
            }
            if findings.news.is_empty() {
                tokio::time::sleep(pause).await;
            }
        }
        findings
    }

    async fn try_read(&mut self, findings: &mut Findings) -> Result<(), Error> {
        let retries =
            self.places.iter().any(|place| place.faulty) && self.checked_at.elapsed() > RETRY_FAULTY;
        if self.unchecked || retries {
            let begins = self.places.iter().any(|place| !place.has_begun());
            self.check(findings).await?;
            if begins || !findings.news.is_empty() || (self.tells_quiet && findings.quiet_at.is_some()) {
                return Ok(());
            }
        }
        self.unchecked = true;
        let mut answers = self.connection.read(&[self.xread()], &mut Answers::to("XREAD")).await?;
        if matches!((&self.server, self.connection.server()), (Some(before), Some(now)) if before != now) {
            // The connection is new and leads to another server, to which the places do not belong: check first.
            return Ok(());
        }
        for (key, entries) in answers.pop().unwrap_or_default() {
            findings.batches.extend(self.take(&key, entries));
        }
        self.unchecked = findings.batches.is_empty();
        self.connection.healed();
        Ok(())
    }

    fn take(&mut self, key: &Bytes, entries: Vec<Entry>) -> Option<Batch> {
        let of = self.places.iter().position(|place| place.key.as_str().as_bytes() == key)?;
        self.places[of].advance(&entries);
        Some(Batch { of, full: entries.len() >= self.most, entries })
    }

    fn xread(&self) -> Cmd {
        let mut cmd = redis::cmd("XREAD");
        cmd.arg("COUNT").arg(self.most).arg("BLOCK").arg(self.connection.block_ms()).arg("STREAMS");
        let readable = || self.places.iter().filter(|place| !place.faulty);
        readable().for_each(|place| {
            cmd.arg(place.key.as_str());
        });
        readable().for_each(|place| {
            cmd.arg(place.position().to_string());
        });
        cmd
    }

    /// Checks the node and every stream.
    async fn check(&mut self, findings: &mut Findings) -> Result<(), Error> {
        check_role(&mut self.connection).await?;
        // The time comes first: an entry that is added later has a later time.
        let mut commands = vec![redis::cmd("TIME")];
        commands.extend(self.places.iter().flat_map(Place::check));
        let mut answers = self.each(&commands).await?.into_iter();
        let time = answers.next().and_then(|time| checked(time).ok()).and_then(|time| milliseconds(&time));
        let server = self.connection.server().map(str::to_owned);
        let moved = matches!((&self.server, &server), (Some(before), Some(now)) if before != now);
        let mut all_read = true;
        let mut fault = None;
        for of in 0..self.places.len() {
            let (Some(info), Some(readable)) = (answers.next(), answers.next()) else { break };
            let was_faulty = self.places[of].faulty;
            let shape = match self.places[of].checked([info, readable]) {
                Ok(shape) => shape,
                Err(error) if self.places[of].faulty => {
                    if !was_faulty {
                        findings.news.push((of, News::Fault(error.clone())));
                    }
                    fault.get_or_insert(error);
                    continue;
                }
                Err(error) => {
                    self.connection.disconnect();
                    return Err(error);
                }
            };
            if self.places[of].is_in_doubt(shape, moved) {
                let commands = self.places[of].look_for_recent();
                let answers = self.each(&commands).await?;
                let news = self.places[of].resume(shape, answers)?;
                findings.news.extend(news.map(|news| (of, news)));
            }
            let news = self.places[of].settle(shape);
            findings.news.extend(news.map(|news| (of, news)));
            all_read &= self.places[of].is_at_end(shape);
        }
        self.server = server.or(self.server.take());
        if let Some(fault) = fault
            && self.places.iter().all(|place| place.faulty)
        {
            return Err(fault);
        }
        self.checked_at = Instant::now();
        self.unchecked = false;
        findings.quiet_at = time.filter(|_| all_read);
        Ok(())
    }

    /// Sends commands that do not block; each may fail on its own.
    async fn each(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, Error> {
        match commands {
            [] => Ok(Vec::new()),
            _ => self.connection.read(commands, &mut EachAnswer::default()).await,
        }
    }
}

/// True for errors that do not end by themselves.
fn needs_a_person(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Refused | ErrorKind::WrongType | ErrorKind::NotPermitted | ErrorKind::Denied)
}

/// The answer to TIME.
fn milliseconds(time: &Value) -> Option<u64> {
    let (seconds, micros): (u64, u64) = redis::from_redis_value_ref(time).ok()?;
    Some(seconds * 1_000 + micros / 1_000)
}
