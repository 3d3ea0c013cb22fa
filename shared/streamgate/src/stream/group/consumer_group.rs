use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::Value;
use tokio::sync::Notify;

use super::{GroupSettings, Start};
use crate::connection::{Error, ErrorKind, Redis, Script};
use crate::stream::{DeadLetterQueue, Entry, EntryId, GroupMetrics};

/// A consumer group of one stream, and this process's membership in it. Clones share everything.
#[derive(Clone)]
pub struct ConsumerGroup(Arc<Inner>);

struct Inner {
    redis: Redis,
    settings: GroupSettings,
    metrics: GroupMetrics,
    dead_letters: DeadLetterQueue,
    hand_back: Script,
    retry_later: Script,
    reap: Script,
    join: Script,
    leave: Script,
    /// The name that [`ConsumerGroup::join`] took.
    joined_as: OnceLock<String>,
    /// Bytes of entries acknowledged since [`ConsumerGroup::trim_is_due`] last returned.
    finished: AtomicUsize,
    trim_is_due: Notify,
}

/// Acknowledged bytes after which a trim is due: few enough for Redis to free them without
/// delaying other commands.
const TRIM_AFTER: usize = 16 << 20;

/// Start of a read in a consumer's own pending entries list, behind every possible entry. Such a read creates the
/// consumer and resets its idle time without a delivery. (A read from 0 would count a delivery of the oldest
/// entry; Redis takes `18446744073709551615-18446744073709551615` for `>`.)
const PAST_THE_END: &str = "18446744073709551615-18446744073709551614";

/// The idle time given to entries that are handed back: longer than any `claim_min_idle`, so that every consumer may
/// claim them at once.
pub(super) const CLAIMABLE_AT_ONCE_MS: u64 = 3_600_000;

/// The longest delay of a retry: a day. The stream is not trimmed behind an entry that waits.
pub const LONGEST_DELAY: Duration = Duration::from_secs(86_400);

/// The text is not a valid name of a group or a consumer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 128 visible ASCII characters without spaces")]
pub struct InvalidName;

impl ConsumerGroup {
    /// A handle; nothing is sent yet.
    pub fn new(redis: Redis, settings: GroupSettings, metrics: GroupMetrics) -> Self {
        let dead_letters =
            DeadLetterQueue::new(redis.clone(), settings.stream.clone(), settings.dead_letters_kept);
        Self(Arc::new(Inner {
            redis,
            settings,
            metrics,
            dead_letters,
            hand_back: Script::new(include_str!("../scripts/hand_back.lua")),
            retry_later: Script::new(include_str!("../scripts/retry_later.lua")),
            reap: Script::new(include_str!("../scripts/reap.lua")),
            join: Script::new(include_str!("../scripts/join.lua")),
            leave: Script::new(include_str!("../scripts/leave.lua")),
            joined_as: OnceLock::new(),
            finished: AtomicUsize::new(0),
            trim_is_due: Notify::new(),
        }))
    }

    /// Checks a group's or a consumer's name.
    ///
    /// # Errors
    /// [`InvalidName`].
    pub fn check_name(name: &str) -> Result<(), InvalidName> {
        let good = (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        good.then_some(()).ok_or(InvalidName)
    }

    /// Creates the stream and the group if they do not exist. A new group begins as its settings say.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn ensure(&self) -> Result<(), Error> {
        self.create(self.settings().start).await
    }

    async fn create(&self, start: Start) -> Result<(), Error> {
        let mut cmd = redis::cmd("XGROUP");
        cmd.arg("CREATE").arg(self.stream()).arg(self.name()).arg(start.to_id()).arg("MKSTREAM");
        match self.redis().command(&cmd).await {
            Err(error) if error.to_string().contains("BUSYGROUP") => Ok(()),
            result => result.map(drop),
        }
    }

    /// Makes this process a member of the group: creates the stream and the group if they do not exist, and takes the
    /// name in the settings. If a consumer with this name gave a sign of life within the last lease, this process
    /// takes a different name and logs a warning: with one name, both processes would work on the same entries.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn join(&self) -> Result<(), Error> {
        if self.0.joined_as.get().is_some() {
            return Ok(());
        }
        self.ensure().await?;
        let wanted = &self.settings().consumer;
        let (spare, lease) = (spare_name(wanted), self.settings().claim_min_idle.as_millis().to_string());
        let args = [
            self.name().as_bytes(),
            wanted.as_bytes(),
            spare.as_bytes(),
            lease.as_bytes(),
            PAST_THE_END.as_bytes(),
        ];
        let joined = self.0.join.run(self.redis(), &[self.stream()], &args).await;
        if joined.is_err() {
            // The script may have run although its answer was lost. Until a lease has passed, this process would take
            // its own name for that of another live consumer.
            tokio::time::sleep(self.settings().claim_min_idle).await;
        }
        let value = joined?;
        let taken: String = redis::from_redis_value(value)
            .map_err(|error| Error::new(ErrorKind::Refused, format!("the join script: {error}")))?;
        if taken != *wanted {
            tracing::warn!(
                stream = self.stream(),
                group = self.name(),
                wanted,
                taken,
                "a worker of this name is alive, or was a moment ago; this one takes a name of its own: give each worker its own WORKER_NAME"
            );
        }
        // If two tasks joined at the same time, the first name stays.
        let _ = self.0.joined_as.set(taken);
        Ok(())
    }

    /// Ends the membership: deletes this consumer from the group, unless it still holds an entry, which other
    /// consumers may claim. False if the consumer was not deleted.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn leave(&self) -> Result<bool, Error> {
        if self.0.joined_as.get().is_none() {
            return Ok(false);
        }
        let args = [self.name().as_bytes(), self.consumer().as_bytes()];
        let value = self.0.leave.run(self.redis(), &[self.stream()], &args).await?;
        Ok(value == Value::Int(1))
    }

    /// Creates the group again after it vanished while consumers read it (FLUSHALL, DEL, XGROUP DESTROY or
    /// a restart without data), and logs a warning: entries that were read before are read again.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn heal(&self) -> Result<(), Error> {
        self.create(Start::Beginning).await?;
        self.metrics().group_recreations.increment(1);
        tracing::warn!(
            stream = self.stream(),
            group = self.name(),
            "the consumer group had vanished and was recreated at 0: entries still on the stream are read again"
        );
        Ok(())
    }

    /// Gives a sign of life: resets this consumer's idle time.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command. If the group is gone, it is created again.
    pub async fn heartbeat(&self) -> Result<(), Error> {
        let mut cmd = redis::cmd("XREADGROUP");
        cmd.arg("GROUP").arg(self.name()).arg(self.consumer());
        cmd.arg("COUNT").arg(1).arg("STREAMS").arg(self.stream()).arg(PAST_THE_END);
        match self.redis().command(&cmd).await {
            Err(error) if error.kind() == ErrorKind::NoGroup => self.heal().await,
            result => result.map(drop),
        }
    }

    /// Gives entries back without work: any consumer may claim them at once, and this delivery is not counted. Returns
    /// how many of the entries still belonged to this consumer.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn hand_back(&self, ids: &[EntryId]) -> Result<u64, Error> {
        let idle = CLAIMABLE_AT_ONCE_MS.to_string();
        let value = self.on_ids(&self.0.hand_back, &[idle.as_bytes()], ids).await?;
        let handed = redis::from_redis_value(value).unwrap_or(0);
        self.metrics().handed_back.increment(handed);
        Ok(handed)
    }

    /// Delivers entries again after a delay, to this group only: until then they are not pending, and nobody can claim
    /// them. Each delay is at most [`LONGEST_DELAY`]. Returns for each entry whether it was delayed; one that was not
    /// belongs to another consumer.
    ///
    /// Until then the trimmer keeps the entry, and all entries behind it.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command; the entries then stay pending. If only the answer was
    /// lost, they may have been delayed.
    pub async fn retry_later(&self, entries: &[(EntryId, Duration)]) -> Result<Vec<bool>, Error> {
        let texts = entries
            .iter()
            .flat_map(|(id, delay)| [id.to_string(), (*delay).min(LONGEST_DELAY).as_millis().to_string()]);
        let texts: Vec<String> = texts.collect();
        let mut args = vec![self.name().as_bytes(), self.consumer().as_bytes()];
        args.extend(texts.iter().map(String::as_bytes));
        let [delayed, delayed_ids] = self.delayed_keys();
        let keys = [self.stream(), delayed.as_str(), delayed_ids.as_str()];
        let answer = self.0.retry_later.run(self.redis(), &keys, &args).await?;
        let delayed: Vec<u64> = redis::from_redis_value(answer)
            .map_err(|_| Error::unexpected("the retry_later script", &Value::Nil))?;
        let delayed: Vec<bool> = delayed.into_iter().map(|done| done == 1).collect();
        self.metrics().delayed.increment(delayed.iter().filter(|done| **done).count() as u64);
        Ok(delayed)
    }

    /// The keys of the group's delayed entries, by the time they are due and by the time in their ids.
    pub(super) fn delayed_keys(&self) -> [String; 2] {
        let stream = &self.settings().stream;
        [stream.delayed(), stream.delayed_ids()].map(|start| format!("{start}{}", self.name()))
    }

    /// Returns once this process has acknowledged entries of 16 MB since this last returned: then the stream should
    /// be trimmed before its next period.
    pub async fn trim_is_due(&self) {
        self.0.trim_is_due.notified().await;
    }

    /// Counts the bytes of acknowledged entries.
    pub(crate) fn count_finished(&self, bytes: usize) {
        if self.0.finished.fetch_add(bytes, Ordering::Relaxed) + bytes >= TRIM_AFTER {
            self.0.finished.store(0, Ordering::Relaxed);
            self.0.trim_is_due.notify_one();
        }
    }

    /// Deletes consumers that were silent for ten times the grace period and hold no entries;
    /// returns their names.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn reap(&self) -> Result<Vec<String>, Error> {
        let idle = (self.settings().grace * 10).as_millis().to_string();
        let args = [self.name().as_bytes(), idle.as_bytes()];
        let value = self.0.reap.run(self.redis(), &[self.stream()], &args).await?;
        // A name made by another client may be any bytes.
        let names: Vec<Vec<u8>> = redis::from_redis_value(value).map_err(|error| {
            Error::new(ErrorKind::Refused, format!("unexpected answer to the reap script: {error}"))
        })?;
        Ok(names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// Moves an entry to the dead letters and acknowledges it, in one step. `None` if another
    /// consumer has claimed the entry: then that consumer settles it.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command; the entry then stays pending.
    pub async fn move_to_dead_letters(
        &self,
        entry: &Entry,
        attempt: u32,
        reason: &str,
    ) -> Result<Option<EntryId>, Error> {
        let added = self.0.dead_letters.add(self.name(), self.consumer(), entry, attempt, reason).await?;
        Ok(added.map(|added| {
            self.metrics().dead_letters_trimmed.increment(added.trimmed);
            added.id
        }))
    }

    /// The dead letters of this group.
    pub fn dead_letters(&self) -> &DeadLetterQueue {
        &self.0.dead_letters
    }

    /// The settings.
    pub fn settings(&self) -> &GroupSettings {
        &self.0.settings
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.0.redis
    }

    pub(crate) fn metrics(&self) -> &GroupMetrics {
        &self.0.metrics
    }

    pub(crate) fn stream(&self) -> &str {
        self.0.settings.stream.as_str()
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.settings.group
    }

    /// This consumer's name: the one it joined with; before it joins, the one in the settings.
    pub fn consumer(&self) -> &str {
        self.0.joined_as.get().unwrap_or(&self.0.settings.consumer)
    }

    /// Runs a script with the arguments group, consumer, `extra` and `ids`.
    pub(crate) async fn on_ids(
        &self,
        script: &Script,
        extra: &[&[u8]],
        ids: &[EntryId],
    ) -> Result<Value, Error> {
        let ids: Vec<String> = ids.iter().map(EntryId::to_string).collect();
        let mut args = vec![self.name().as_bytes(), self.consumer().as_bytes()];
        args.extend_from_slice(extra);
        args.extend(ids.iter().map(String::as_bytes));
        script.run(self.redis(), &[self.stream()], &args).await
    }
}

/// A unique name that starts like `wanted`, not longer than a name may be.
fn spare_name(wanted: &str) -> String {
    let short: String = wanted.chars().take(121).collect();
    format!("{short}-{:06x}", rand::random_range(0..0x100_0000))
}

/// Reads a list of ids; other values are left out.
pub(crate) fn ids_from(value: Value) -> Vec<EntryId> {
    match value {
        Value::Array(ids) => ids.iter().filter_map(EntryId::from_value).collect(),
        _ => Vec::new(),
    }
}
