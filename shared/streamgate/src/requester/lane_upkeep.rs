//! Keeps a reply lane short and alive; the process that reads the lane does this.

use std::collections::VecDeque;
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::settings::LongestTimeout;
use crate::connection::{Error, Redis, RetryLog, checked};
use crate::stream::{Entry, EntryId, StreamKey};

/// A lane with at most this many entries is not trimmed by age, so that people can read it.
const READABLE: i64 = 1_000;

/// How often the lane's time to live is extended and old replies are trimmed.
const PERIOD: Duration = Duration::from_secs(5);

/// Bytes of replies after which finished ones are trimmed. A trim blocks Redis: 8 MB take 2 ms.
const STEP: usize = 1 << 20;

/// At least this many bytes of finished replies stay readable.
const KEPT: usize = 8 << 20;

/// How far a lane has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Finished {
    /// Entries before this one have been read, and [`KEPT`] bytes have been read after it.
    up_to: EntryId,
    /// The newest entry that another process may still have to read.
    foreign: EntryId,
}

impl Finished {
    /// The first entry that stays. Entries before `by_age` are too old for any reader. Other processes read at their
    /// own pace, so an entry that may be theirs is removed only by age.
    fn first_to_keep(self, by_age: EntryId) -> EntryId {
        if self.foreign < by_age { by_age.max(self.up_to) } else { by_age }
    }
}

/// Counts the bytes that the reader of a lane has read, and notifies the upkeep when entries can be trimmed.
pub(super) struct Progress {
    finished: watch::Sender<Finished>,
    /// Bytes read since the last of `steps`.
    bytes: usize,
    /// The last entry and the bytes of each of the last steps.
    steps: VecDeque<(EntryId, usize)>,
    /// Bytes of all `steps`.
    kept: usize,
    foreign: EntryId,
}

impl Progress {
    /// For a lane that is read from behind `start`: earlier entries may belong to other processes.
    pub(super) fn from(start: EntryId, finished: watch::Sender<Finished>) -> Self {
        Self { finished, bytes: 0, steps: VecDeque::new(), kept: 0, foreign: start }
    }

    /// One entry was read. It is `ours` if no other process can be waiting for its replies.
    pub(super) fn read(&mut self, entry: &Entry, ours: bool) {
        if self.steps.back().is_some_and(|(last, _)| entry.id < *last) {
            // The stream has started over, so the old ids no longer count.
            self.steps.clear();
            self.kept = 0;
        }
        if !ours {
            self.foreign = entry.id;
        }
        self.bytes += entry.fields.size();
        if self.bytes >= STEP {
            self.steps.push_back((entry.id, self.bytes));
            self.kept += std::mem::take(&mut self.bytes);
            if let Some(up_to) = self.drop_old_steps() {
                self.finished.send_replace(Finished { up_to, foreign: self.foreign });
            }
        }
    }

    /// Drops the steps after which [`KEPT`] bytes were read; returns the last entry of the last dropped step.
    fn drop_old_steps(&mut self) -> Option<EntryId> {
        let mut up_to = None;
        while let Some((id, bytes)) = self.steps.front().copied()
            && self.kept - bytes >= KEPT
        {
            self.kept -= bytes;
            self.steps.pop_front();
            up_to = Some(id);
        }
        up_to
    }
}

/// Extends the lane's time to live while its reader runs, and trims replies that no caller can be waiting for: old
/// ones periodically, and those that its reader has finished once they are many bytes. If the reader is gone, Redis
/// deletes the lane at the end of its time to live; the responder gives one to every lane.
pub(super) async fn keep(
    redis: Redis,
    lane: StreamKey,
    longest_timeout: LongestTimeout,
    mut finished: watch::Receiver<Finished>,
    stop: CancellationToken,
) {
    let keeper = Keeper { redis, lane, longest_timeout };
    let (mut refreshing, mut trimming) =
        (RetryLog::new("reply lane"), RetryLog::new("trimming the reply lane"));
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let (outage, done) = tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => (&mut refreshing, keeper.refresh().await),
            Ok(()) = finished.changed() => {
                let finished = *finished.borrow_and_update();
                (&mut trimming, keeper.trim(finished).await)
            }
        };
        match done {
            Ok(()) => outage.healed(),
            Err(error) => {
                outage.failed(&error);
            }
        }
    }
}

struct Keeper {
    redis: Redis,
    lane: StreamKey,
    longest_timeout: LongestTimeout,
}

impl Keeper {
    /// Extends the time to live, and trims old replies if the lane is long.
    async fn refresh(&self) -> Result<(), Error> {
        let lane = self.lane.as_str();
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("EXPIRE").arg(lane).arg(StreamKey::lane_ttl(self.longest_timeout.get()).as_secs());
        pipeline.cmd("XLEN").arg(lane);
        let mut answers = self.redis.pipeline(&pipeline).await?.into_iter();
        answers.next().map(checked).transpose()?;
        match answers.next().map(checked).transpose()? {
            Some(Value::Int(length)) if length > READABLE => self.trim(Finished::default()).await,
            _ => Ok(()),
        }
    }

    /// Trims by age and progress, never by count: several replicas may read one lane at their own pace.
    async fn trim(&self, finished: Finished) -> Result<(), Error> {
        // The age uses the server's time. A wrong clock of this machine could remove a reply that its caller still
        // waits for.
        let age = (self.longest_timeout.get() + PERIOD).as_millis() as u64;
        let by_age = EntryId { ms: self.redis.server_time_ms().await?.saturating_sub(age), seq: 0 };
        let mut trim = redis::cmd("XTRIM");
        trim.arg(self.lane.as_str()).arg("MINID").arg("~").arg(finished.first_to_keep(by_age).to_string());
        self.redis.command(&trim).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;

    fn id(ms: u64) -> EntryId {
        EntryId { ms, seq: 0 }
    }

    /// Reads one entry of a step's size for each of `ours`, with the ids after `start`.
    fn read(start: u64, ours: impl IntoIterator<Item = bool>) -> Finished {
        let (sender, finished) = watch::channel(Finished::default());
        let mut progress = Progress::from(id(start), sender);
        for (ms, ours) in (start + 1..).zip(ours) {
            progress.read(&step(ms), ours);
        }
        *finished.borrow()
    }

    /// An entry as large as a step.
    fn step(ms: u64) -> Entry {
        Entry { id: id(ms), fields: Fields::from_iter([("", vec![0; STEP])]) }
    }

    /// The number of steps that are kept.
    const STEPS: usize = KEPT / STEP;

    #[test]
    fn the_last_steps_of_our_replies_stay_and_earlier_ones_go() {
        assert_eq!(read(0, [true; STEPS]).first_to_keep(id(1)), id(1), "all steps stay");
        assert_eq!(read(0, [true; STEPS + 2]).first_to_keep(id(1)), id(2));
        assert_eq!(read(0, [true; STEPS + 5]).first_to_keep(id(1)), id(5));
    }

    #[test]
    fn small_replies_share_a_step_and_large_ones_fill_one() {
        for (size, count, first) in [(STEP / 2, 2 * STEPS as u64 + 4, 4), (KEPT, 5, 4)] {
            let (sender, finished) = watch::channel(Finished::default());
            let mut progress = Progress::from(EntryId::MIN, sender);
            let fields = Fields::from_iter([("", vec![0; size])]);
            for ms in 1..=count {
                progress.read(&Entry { id: id(ms), fields: fields.clone() }, true);
            }

            assert_eq!(finished.borrow().first_to_keep(id(1)), id(first), "{size}");
        }
    }

    #[test]
    fn entries_of_other_readers_are_removed_only_by_age() {
        let with_a_foreign_one = (1..=STEPS + 4).map(|n| n != 3);

        assert_eq!(read(0, with_a_foreign_one.clone()).first_to_keep(id(2)), id(2));
        assert_eq!(read(0, with_a_foreign_one.clone()).first_to_keep(id(3)), id(3));
        assert_eq!(read(0, with_a_foreign_one).first_to_keep(id(4)), id(4), "the foreign one is too old");
        assert_eq!(
            read(10, [true; STEPS + 2]).first_to_keep(id(10)),
            id(10),
            "entry 10 was there at the start"
        );
        assert_eq!(read(10, [true; STEPS + 2]).first_to_keep(id(11)), id(12));
    }

    #[test]
    fn a_stream_that_starts_over_is_not_trimmed_by_its_old_ids() {
        let (sender, finished) = watch::channel(Finished::default());
        let mut progress = Progress::from(EntryId::MIN, sender);
        for ms in (1_000..).take(STEPS).chain((10..).take(STEPS + 1)) {
            progress.read(&step(ms), true);
        }

        assert_eq!(finished.borrow().first_to_keep(id(1)), id(10));
    }
}
