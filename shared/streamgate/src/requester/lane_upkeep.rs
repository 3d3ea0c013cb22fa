//! The upkeep of a reply lane by the process that reads it.

use std::collections::VecDeque;
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connection::{Error, Redis, RetryLog, checked};
use crate::stream::{Entry, EntryId, StreamKey};

/// A lane this short is left alone whatever the age of its entries, so that people can read it.
const READABLE: i64 = 1_000;

/// How often a lane is looked after.
const PERIOD: Duration = Duration::from_secs(5);

/// Bytes of replies after which finished ones are cut. Redis does nothing else meanwhile: 2 ms for 8 MB.
const STEP: usize = 1 << 20;

/// Bytes of finished replies that stay readable, at least.
const KEPT: usize = 8 << 20;

/// How far a lane has been read, as far as its upkeep needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Finished {
    /// Up to here it has been read, and there is as much after it as is worth looking at.
    up_to: EntryId,
    /// The newest entry that may be somebody else's to read.
    foreign: EntryId,
}

impl Finished {
    /// The first entry to stay, if `by_age` says so for those of other readers: they read at their own
    /// pace, so only age tells that one of theirs is done with.
    fn cut(self, by_age: EntryId) -> EntryId {
        if self.foreign < by_age { by_age.max(self.up_to) } else { by_age }
    }
}

/// Adds up what the reader of a lane reads, and tells the upkeep when there is something to cut.
pub(super) struct Progress {
    finished: watch::Sender<Finished>,
    /// Bytes read since the last of `steps`.
    bytes: usize,
    /// The entry that each of the last steps ended with, and its bytes.
    steps: VecDeque<(EntryId, usize)>,
    /// Bytes of all of them.
    kept: usize,
    foreign: EntryId,
}

impl Progress {
    /// For a lane that is read from behind `start`: what is there may be somebody else's.
    pub(super) fn from(start: EntryId, finished: watch::Sender<Finished>) -> Self {
        Self { finished, bytes: 0, steps: VecDeque::new(), kept: 0, foreign: start }
    }

    /// One entry was read. A reply is `ours` if nobody else can be waiting for it.
    pub(super) fn read(&mut self, entry: &Entry, ours: bool) {
        if self.steps.back().is_some_and(|(last, _)| entry.id < *last) {
            // The stream started over; the old ids say nothing any more.
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
            if let Some(up_to) = self.cut() {
                self.finished.send_replace(Finished { up_to, foreign: self.foreign });
            }
        }
    }

    /// Leaves out the steps that enough was read after; answers with the end of the last of them.
    fn cut(&mut self) -> Option<EntryId> {
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

/// Keeps the lane while its reader lives and cuts replies nobody can be waiting for: by age, and what its
/// reader has finished as soon as it is much. The responder gives every lane a time to live, so a lane
/// whose reader is gone goes by itself.
pub(super) async fn keep(
    redis: Redis,
    lane: StreamKey,
    longest_timeout: Duration,
    mut finished: watch::Receiver<Finished>,
    stop: CancellationToken,
) {
    let keeper = Keeper { redis, lane, longest_timeout };
    let (mut keeping, mut cutting) = (RetryLog::new("reply lane"), RetryLog::new("cutting the reply lane"));
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let (outage, done) = tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => (&mut keeping, keeper.tend().await),
            Ok(()) = finished.changed() => {
                let finished = *finished.borrow_and_update();
                (&mut cutting, keeper.trim(finished).await)
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
    longest_timeout: Duration,
}

impl Keeper {
    async fn tend(&self) -> Result<(), Error> {
        let lane = self.lane.as_str();
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("EXPIRE").arg(lane).arg(StreamKey::lane_ttl(self.longest_timeout).as_secs());
        pipeline.cmd("XLEN").arg(lane);
        let mut answers = self.redis.pipeline(&pipeline).await?.into_iter();
        answers.next().map(checked).transpose()?;
        match answers.next().map(checked).transpose()? {
            Some(Value::Int(length)) if length > READABLE => self.trim(Finished::default()).await,
            _ => Ok(()),
        }
    }

    /// By age and progress, never by count: several replicas may read one lane at their own pace.
    async fn trim(&self, finished: Finished) -> Result<(), Error> {
        // The server is asked for the time, so that a wrong clock here cuts nothing that somebody waits for.
        let age = (self.longest_timeout + PERIOD).as_millis() as u64;
        let by_age = EntryId { ms: self.redis.server_time_ms().await?.saturating_sub(age), seq: 0 };
        let mut trim = redis::cmd("XTRIM");
        trim.arg(self.lane.as_str()).arg("MINID").arg("~").arg(finished.cut(by_age).to_string());
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

    /// Reads entries of a step each, some of them somebody else's, with the ids after `start`.
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

    /// So many steps are kept.
    const STEPS: usize = KEPT / STEP;

    #[test]
    fn the_last_steps_of_our_replies_stay_and_earlier_ones_go() {
        assert_eq!(read(0, [true; STEPS]).cut(id(1)), id(1), "nothing is that far back yet");
        assert_eq!(read(0, [true; STEPS + 2]).cut(id(1)), id(2));
        assert_eq!(read(0, [true; STEPS + 5]).cut(id(1)), id(5));
    }

    #[test]
    fn small_replies_share_a_step_and_large_ones_fill_one() {
        for (size, count, cut) in [(STEP / 2, 2 * STEPS as u64 + 4, 4), (KEPT, 5, 4)] {
            let (sender, finished) = watch::channel(Finished::default());
            let mut progress = Progress::from(EntryId::MIN, sender);
            let fields = Fields::from_iter([("", vec![0; size])]);
            for ms in 1..=count {
                progress.read(&Entry { id: id(ms), fields: fields.clone() }, true);
            }

            assert_eq!(finished.borrow().cut(id(1)), id(cut), "{size}");
        }
    }

    #[test]
    fn what_others_may_still_read_goes_by_age_alone() {
        let with_a_foreign_one = (1..=STEPS + 4).map(|n| n != 3);

        assert_eq!(read(0, with_a_foreign_one.clone()).cut(id(2)), id(2));
        assert_eq!(read(0, with_a_foreign_one.clone()).cut(id(3)), id(3));
        assert_eq!(read(0, with_a_foreign_one).cut(id(4)), id(4), "it is too old itself");
        assert_eq!(read(10, [true; STEPS + 2]).cut(id(10)), id(10), "what was there at the start");
        assert_eq!(read(10, [true; STEPS + 2]).cut(id(11)), id(12));
    }

    #[test]
    fn a_stream_that_starts_over_is_not_cut_by_its_old_ids() {
        let (sender, finished) = watch::channel(Finished::default());
        let mut progress = Progress::from(EntryId::MIN, sender);
        for ms in (1_000..).take(STEPS).chain((10..).take(STEPS + 1)) {
            progress.read(&step(ms), true);
        }

        assert_eq!(finished.borrow().cut(id(1)), id(10));
    }
}
