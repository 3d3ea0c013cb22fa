use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

/// Lets a small batch grow by those who are about to send: it gives the processor to other threads
/// (`sched_yield`), looks at the sockets and takes what has come, as long as that brings something.
///
/// Where callers, gateways, Redis and workers share processors, each wakes the next with its first
/// message and is put off it; a pipeline of two or three requests then costs all of them as much as one
/// of fifteen. Measured: `docs/PERFORMANCE.md`, "What was tried".
pub(super) struct BatchSize {
    /// How many wait for something that is sent here.
    callers: Box<dyn Fn() -> usize + Send>,
    /// How many at most waited lately: some of them are about to ask again.
    crowd: usize,
    /// This process runs on one processor only; what it waits for then usually runs there, too.
    one_processor: bool,
    /// How many commands the batch before had.
    last: usize,
    /// How often yields took long lately: more for each that did, less for each that did not.
    long_yields: u32,
    /// Until then the processor belongs to somebody who does not give it back soon.
    paused_until: Option<Instant>,
}

/// The least number of commands that is worth waiting for, and the largest.
const ENOUGH: RangeInclusive<usize> = 16..=64;

/// However few or many callers there are, so many commands fit into one batch.
const MOST: RangeInclusive<usize> = 16..=128;

/// Yields for one batch.
const MOST_YIELDS: usize = 8;

/// Replicas, Redis and workers on one processor give it back sooner, all of them together; strangers each
/// keep it for a time slice of the scheduler (3 to 4 ms).
const LONG_YIELD: Duration = Duration::from_millis(10);

/// A long yield weighs as much as so many short ones: now and then the host takes a processor away.
const LONG_WEIGHT: u32 = 4;

/// Three long yields close together.
const TOO_OFTEN: u32 = 3 * LONG_WEIGHT;

/// How long not to yield to a stranger again.
const YIELD_PAUSE: Duration = Duration::from_secs(1);

impl BatchSize {
    /// `callers` tells how many wait for something that is sent here, at this moment.
    pub(super) fn new(callers: impl Fn() -> usize + Send + 'static) -> Self {
        Self {
            callers: Box::new(callers),
            crowd: 0,
            one_processor: has_one_processor(),
            last: 0,
            long_yields: 0,
            paused_until: None,
        }
    }

    /// Waits for a command, and adds those that may go with it. Empty once the queue is closed.
    pub(super) async fn next<T>(&mut self, batch: &mut Vec<T>, queue: &mut mpsc::Receiver<T>) {
        queue.recv_many(batch, *MOST.start()).await;
        let (enough, most) = self.size();
        take(batch, most, queue);
        let alone = batch.len() == 1 && self.last <= 1;
        if !alone && self.paused_until.is_none_or(|until| Instant::now() >= until) {
            for _ in 0..MOST_YIELDS {
                if batch.len() >= enough || !self.wait(batch, most, queue).await {
                    break;
                }
            }
        }
        self.last = batch.len();
    }

    /// How many commands are worth waiting for, and how many fit into one batch.
    fn size(&mut self) -> (usize, usize) {
        self.crowd = (self.crowd - self.crowd / 8).max((self.callers)());
        // One processor does one thing after the other, so all may come together; several work at the
        // same time only while some requests are here and others there.
        let (enough, most) = match self.one_processor {
            true => (self.crowd, self.crowd * 2),
            false => (self.crowd / 3, self.crowd / 2),
        };
        (enough.clamp(*ENOUGH.start(), *ENOUGH.end()), most.clamp(*MOST.start(), *MOST.end()))
    }

    /// Yields once; false if that brought nothing or took long.
    async fn wait<T>(&mut self, batch: &mut Vec<T>, most: usize, queue: &mut mpsc::Receiver<T>) -> bool {
        let (before, had) = (Instant::now(), batch.len());
        std::thread::yield_now();
        let long = before.elapsed() >= LONG_YIELD;
        self.learn(long);
        // The runtime looks at its sockets before it comes back here.
        tokio::task::yield_now().await;
        take(batch, most, queue);
        batch.len() > had && !long
    }

    fn learn(&mut self, long: bool) {
        self.long_yields = match long {
            true => self.long_yields + LONG_WEIGHT,
            false => self.long_yields.saturating_sub(1),
        };
        self.paused_until = None;
        if self.long_yields >= TOO_OFTEN {
            // The next one decides.
            self.long_yields = TOO_OFTEN - LONG_WEIGHT;
            self.paused_until = Some(Instant::now() + YIELD_PAUSE);
        }
    }
}

/// A share of several, such as the CPU limit of a container, is not one processor, though
/// `available_parallelism` may count it so.
#[cfg(target_os = "linux")]
fn has_one_processor() -> bool {
    use nix::sched::{CpuSet, sched_getaffinity};
    use nix::unistd::Pid;
    sched_getaffinity(Pid::from_raw(0)).is_ok_and(|set| {
        let allowed = |processor: &usize| set.is_set(*processor) == Ok(true);
        (0..CpuSet::count()).filter(allowed).count() == 1
    })
}

#[cfg(not(target_os = "linux"))]
fn has_one_processor() -> bool {
    std::thread::available_parallelism().is_ok_and(|count| count.get() == 1)
}

/// Takes what is in the queue already.
fn take<T>(batch: &mut Vec<T>, most: usize, queue: &mut mpsc::Receiver<T>) {
    while batch.len() < most
        && let Ok(command) = queue.try_recv()
    {
        batch.push(command);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch_size(callers: usize) -> BatchSize {
        BatchSize::new(move || callers)
    }

    /// The size of a batch if `first` commands are there and four others send one each, one after the
    /// other, whenever they get to run.
    async fn filled(batch_size: &mut BatchSize, first: usize) -> usize {
        let (queue, mut commands) = mpsc::channel(1_024);
        (0..first).for_each(|_| queue.try_send(()).expect("room"));
        let mut batch = Vec::new();
        let others = tokio::spawn(async move {
            for _ in 0..4 {
                queue.send(()).await.expect("room");
                tokio::task::yield_now().await;
            }
        });
        batch_size.next(&mut batch, &mut commands).await;
        others.abort();
        batch.len()
    }

    #[tokio::test]
    async fn a_batch_grows_by_those_who_are_about_to_send() {
        assert!(filled(&mut batch_size(8), 2).await > 2);
        assert!(filled(&mut BatchSize { last: 2, ..batch_size(8) }, 1).await > 1);
    }

    #[tokio::test]
    async fn a_lone_command_and_a_large_batch_leave_at_once() {
        assert_eq!(filled(&mut batch_size(8), 1).await, 1);
        assert_eq!(filled(&mut batch_size(8), 16).await, 16);
    }

    #[tokio::test]
    async fn what_is_queued_goes_along_if_it_has_callers() {
        assert_eq!(filled(&mut batch_size(8), 100).await, 16);
        assert_eq!(filled(&mut batch_size(200), 100).await, 100);
        assert_eq!(filled(&mut batch_size(1_000), 1_000).await, 128);
    }

    #[test]
    fn batches_fit_the_callers_and_the_processors() {
        let sizes = |one_processor, callers| BatchSize { one_processor, ..batch_size(callers) }.size();

        assert_eq!(
            [1, 32, 64, 256, 10_000].map(|callers| sizes(false, callers)),
            [(16, 16), (16, 16), (21, 32), (64, 128), (64, 128)]
        );
        assert_eq!(
            [1, 32, 64, 256, 10_000].map(|callers| sizes(true, callers)),
            [(16, 16), (32, 64), (64, 128), (64, 128), (64, 128)]
        );
    }

    #[test]
    fn those_who_were_there_a_moment_ago_still_count_for_a_while() {
        let mut batch_size = BatchSize { one_processor: false, crowd: 128, ..batch_size(0) };

        let sizes: Vec<usize> = (0..20).map(|_| batch_size.size().1).collect();

        assert!(sizes.is_sorted_by(|one, next| one >= next), "{sizes:?}");
        assert_eq!((sizes[0], sizes[19]), (56, 16));
    }

    #[tokio::test]
    async fn a_closed_queue_makes_no_batch() {
        let (queue, mut commands) = mpsc::channel::<()>(1);
        drop(queue);
        let mut batch = Vec::new();

        batch_size(8).next(&mut batch, &mut commands).await;

        assert!(batch.is_empty());
    }

    #[tokio::test]
    async fn a_processor_that_others_keep_is_not_given_away_again() {
        let mut batch_size = batch_size(8);
        (0..3).for_each(|_| batch_size.learn(true));

        assert_eq!(filled(&mut batch_size, 2).await, 2);
    }

    #[tokio::test]
    async fn a_long_yield_now_and_then_changes_nothing() {
        let mut batch_size = batch_size(8);
        for turn in 0..100 {
            batch_size.learn(turn % 10 == 0);
        }

        assert!(filled(&mut batch_size, 2).await > 2);
    }
}
