//! The upkeep of a reply lane by the process that reads it.

use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connection::{Error, Outage, Redis, checked};
use crate::stream::{Entry, EntryId, StreamKey};

/// How long a lane outlives its last sign of use, at least: long enough to look at it.
const SHORTEST_TTL: Duration = Duration::from_secs(600);

/// A lane this short is left alone whatever the age of its entries, so that people can read it.
const READABLE: i64 = 1_000;

/// How often a lane is looked after.
const PERIOD: Duration = Duration::from_secs(5);

/// Bytes of replies after which the finished ones are cut; as many more stay readable.
const STEP: usize = 8 << 20;

/// How long a lane is kept once nobody uses it: at least twice the longest deadline.
pub(super) fn ttl(longest_timeout: Duration) -> Duration {
    (longest_timeout * 2).max(SHORTEST_TTL)
}

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
    /// Bytes read since `mark`.
    bytes: usize,
    mark: EntryId,
    foreign: EntryId,
}

impl Progress {
    /// For a lane that is read from behind `start`: what is there may be somebody else's.
    pub(super) fn from(start: EntryId, finished: watch::Sender<Finished>) -> Self {
        Self { finished, bytes: 0, mark: EntryId::MIN, foreign: start }
    }

    /// One entry was read. A reply is `ours` if nobody else can be waiting for it.
    pub(super) fn read(&mut self, entry: &Entry, ours: bool) {
        if entry.id < self.mark {
            // The stream started over; the old ids say nothing any more.
            self.mark = EntryId::MIN;
        }
        if !ours {
            self.foreign = entry.id;
        }
        self.bytes += entry.fields.size();
        if self.bytes >= STEP {
            self.bytes = 0;
            let up_to = std::mem::replace(&mut self.mark, entry.id);
            self.finished.send_replace(Finished { up_to, foreign: self.foreign });
        }
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
    let mut outage = Outage::new("reply lane");
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let done = tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => keeper.tend().await,
            Ok(()) = finished.changed() => {
                let finished = *finished.borrow_and_update();
                keeper.trim(finished).await
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
        pipeline.cmd("EXPIRE").arg(lane).arg(ttl(self.longest_timeout).as_secs());
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

    /// Reads entries of half a step each, some of them somebody else's, with the ids after `start`.
    fn read(start: u64, ours: impl IntoIterator<Item = bool>) -> Finished {
        let (sender, finished) = watch::channel(Finished::default());
        let mut progress = Progress::from(id(start), sender);
        let fields = Fields::from_iter([("body", vec![0; STEP / 2])]);
        for (n, ours) in (1..).zip(ours) {
            progress.read(&Entry { id: id(start + n), fields: fields.clone() }, ours);
        }
        *finished.borrow()
    }

    #[test]
    fn a_step_of_our_own_replies_stays_and_those_before_it_go() {
        assert_eq!(read(0, [true; 3]).cut(id(1)), id(1), "nothing is that far back yet");
        assert_eq!(read(0, [true; 4]).cut(id(1)), id(2));
        assert_eq!(read(0, [true; 7]).cut(id(1)), id(4));
    }

    #[test]
    fn what_others_may_still_read_goes_by_age_alone() {
        let with_a_foreign_one = [true, true, false, true, true, true];

        assert_eq!(read(0, with_a_foreign_one).cut(id(2)), id(2));
        assert_eq!(read(0, with_a_foreign_one).cut(id(3)), id(3));
        assert_eq!(read(0, with_a_foreign_one).cut(id(4)), id(4), "it is too old itself");
        assert_eq!(read(10, [true; 4]).cut(id(10)), id(10), "what was there at the start");
        assert_eq!(read(10, [true; 4]).cut(id(11)), id(12));
    }

    #[test]
    fn a_stream_that_starts_over_is_not_cut_by_its_old_ids() {
        let (sender, finished) = watch::channel(Finished::default());
        let mut progress = Progress::from(EntryId::MIN, sender);
        let fields = Fields::from_iter([("body", vec![0; STEP])]);
        for ms in [1_000, 2_000, 10, 20] {
            progress.read(&Entry { id: id(ms), fields: fields.clone() }, true);
        }

        assert_eq!(finished.borrow().cut(id(1)), id(10));
    }
}
