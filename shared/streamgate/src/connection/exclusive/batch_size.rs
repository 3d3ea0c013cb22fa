use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

/// Lets a small batch grow by the commands that are about to come. The writer yields its processor to other threads
/// (`sched_yield`), polls the sockets and takes the commands that have come; it repeats this while new commands come.
///
/// This helps if callers, gateways, Redis and workers share processors. The first message of each process wakes the
/// next process, which then takes the processor before more messages are ready. So pipelines stay small, and a
/// pipeline of two or three requests costs all processes as much as a pipeline of fifteen.
/// Measured: `docs/PERFORMANCE.md`, "What was tried".
pub(super) struct BatchSize {
    /// The number of callers that now wait for replies to these commands.
    callers: Box<dyn Fn() -> usize + Send>,
    /// Decaying maximum of waiting callers: some of them are about to send again.
    recent_callers: usize,
    /// True if this process runs on one processor only. Then Redis and the workers usually run on the same one.
    one_processor: bool,
    /// Number of commands in the last batch.
    last: usize,
    /// Score of long yields: grows with each long yield, shrinks with each short one.
    long_yields: u32,
    /// Until then the writer does not yield, because an unrelated process keeps the processor for long.
    paused_until: Option<Instant>,
}

/// Bounds of the number of commands that a batch waits for.
const ENOUGH: RangeInclusive<usize> = 16..=64;

/// Bounds of the largest number of commands in one batch.
const MOST: RangeInclusive<usize> = 16..=128;

/// The most yields for one batch.
const MOST_YIELDS: usize = 8;

/// A yield of at least this time is long. Replicas, Redis and workers on one processor together take less; each
/// unrelated process keeps the processor for a time slice of the scheduler (3 to 4 ms).
const LONG_YIELD: Duration = Duration::from_millis(10);

/// A long yield counts as much as this many short ones: sometimes the host takes a processor away.
const LONG_WEIGHT: u32 = 4;

/// The score of three long yields close together.
const TOO_OFTEN: u32 = 3 * LONG_WEIGHT;

/// How long the writer does not yield after too many long yields.
const YIELD_PAUSE: Duration = Duration::from_secs(1);

impl BatchSize {
    /// `callers` returns the number of callers that now wait for replies to these commands.
    pub(super) fn new(callers: impl Fn() -> usize + Send + 'static) -> Self {
        Self {
            callers: Box::new(callers),
            recent_callers: 0,
            one_processor: has_one_processor(),
            last: 0,
            long_yields: 0,
            paused_until: None,
        }
    }

    /// Waits for a command, and adds others to its batch. The batch is empty once the queue is closed.
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

    /// The number of commands that a batch waits for, and the largest number in one batch.
    fn size(&mut self) -> (usize, usize) {
        self.recent_callers = (self.recent_callers - self.recent_callers / 8).max((self.callers)());
        // With one processor, a batch waits for all recent callers, because the processes run one after the other.
        // With several, it is sent once a third of them has joined, so that the processes work at the same time.
        let (enough, most) = match self.one_processor {
            true => (self.recent_callers, self.recent_callers * 2),
            false => (self.recent_callers / 3, self.recent_callers / 2),
        };
        (enough.clamp(*ENOUGH.start(), *ENOUGH.end()), most.clamp(*MOST.start(), *MOST.end()))
    }

    /// Yields once; false if no command came or the yield was long.
    async fn wait<T>(&mut self, batch: &mut Vec<T>, most: usize, queue: &mut mpsc::Receiver<T>) -> bool {
        let (before, had) = (Instant::now(), batch.len());
        std::thread::yield_now();
        let long = before.elapsed() >= LONG_YIELD;
        self.record_yield(long);
        // The runtime polls its sockets before this task continues.
        tokio::task::yield_now().await;
        take(batch, most, queue);
        batch.len() > had && !long
    }

    fn record_yield(&mut self, long: bool) {
        self.long_yields = match long {
            true => self.long_yields + LONG_WEIGHT,
            false => self.long_yields.saturating_sub(1),
        };
        self.paused_until = None;
        if self.long_yields >= TOO_OFTEN {
            // After the pause, one more long yield starts the next pause.
            self.long_yields = TOO_OFTEN - LONG_WEIGHT;
            self.paused_until = Some(Instant::now() + YIELD_PAUSE);
        }
    }
}

/// True if this process may run on one processor only. A CPU limit of a container, a share of several processors,
/// does not count as one, although `available_parallelism` may return 1 for it.
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

/// Takes the commands that are already in the queue.
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

    /// The size of a batch if `first` commands are queued and another task sends four more, one for each time it runs.
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
    async fn a_small_batch_waits_for_commands_about_to_come() {
        assert!(filled(&mut batch_size(8), 2).await > 2);
        assert!(filled(&mut BatchSize { last: 2, ..batch_size(8) }, 1).await > 1);
    }

    #[tokio::test]
    async fn a_single_command_and_a_large_batch_are_sent_at_once() {
        assert_eq!(filled(&mut batch_size(8), 1).await, 1);
        assert_eq!(filled(&mut batch_size(8), 16).await, 16);
    }

    #[tokio::test]
    async fn more_callers_allow_a_larger_batch() {
        assert_eq!(filled(&mut batch_size(8), 100).await, 16);
        assert_eq!(filled(&mut batch_size(200), 100).await, 100);
        assert_eq!(filled(&mut batch_size(1_000), 1_000).await, 128);
    }

    #[test]
    fn the_batch_size_depends_on_callers_and_processors() {
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
    fn recent_callers_count_less_and_less() {
        let mut batch_size = BatchSize { one_processor: false, recent_callers: 128, ..batch_size(0) };

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
    async fn the_writer_does_not_yield_after_three_long_yields() {
        let mut batch_size = batch_size(8);
        (0..3).for_each(|_| batch_size.record_yield(true));

        assert_eq!(filled(&mut batch_size, 2).await, 2);
    }

    #[tokio::test]
    async fn rare_long_yields_change_nothing() {
        let mut batch_size = batch_size(8);
        for turn in 0..100 {
            batch_size.record_yield(turn % 10 == 0);
        }

        assert!(filled(&mut batch_size, 2).await > 2);
    }
}
