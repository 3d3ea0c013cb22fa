use std::time::Duration;

use redis::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::error::{Error, ErrorKind, checked};
use super::{Arguments, Commands, DedicatedConnection, Outage, Redis};
use crate::resilience::BreakerState;

/// One command on its way to Redis and what to do with its result.
pub trait Outbound: Send + 'static {
    /// Writes the command: its name and its arguments.
    fn write(&self, args: &mut Arguments<'_>);

    /// Until when it is worth sending again after trouble with the connection. A command that is
    /// sent again may have been executed before.
    fn give_up_at(&self) -> Instant;

    /// A try ended without an answer: it may have been executed.
    fn became_uncertain(&mut self) {}

    /// The end of its way.
    fn settle(self, result: Result<Value, Error>);
}

/// Writes commands in natural batches: takes the first, adds whatever else is queued already,
/// sends them as one pipeline. There is no timer: alone, a command leaves at once; with others about
/// it lets those come who are about to (see `Gathering`).
///
/// One task writes for all clones, one pipeline at a time, so batches form by themselves while
/// the previous one is on its way.
pub struct BatchWriter<O> {
    queue: mpsc::Sender<O>,
}

/// Commands in one pipeline. Measured: 16 to 128 make no difference, prototypes lost with more
/// (`docs/PERFORMANCE.md`).
const LARGEST_BATCH: usize = 32;

/// The queue is full, or its writer has ended; the command comes back unsent.
#[derive(Debug)]
pub struct QueueFull<O>(pub O);

impl<O: Outbound> BatchWriter<O> {
    /// Starts the writer. It ends when the last clone is dropped and the queue is empty. `part`
    /// names it in logs; `capacity` bounds the queue.
    pub fn spawn(redis: Redis, part: &'static str, capacity: usize) -> Self {
        let (queue, commands) = mpsc::channel(capacity.max(1));
        tokio::spawn(write(redis, part, commands));
        Self { queue }
    }

    /// Queues a command if there is room.
    ///
    /// # Errors
    /// [`QueueFull`] gives it back.
    pub fn try_send(&self, command: O) -> Result<(), QueueFull<O>> {
        self.queue.try_send(command).map_err(|error| QueueFull(error.into_inner()))
    }

    /// Queues a command, waiting for room.
    ///
    /// # Errors
    /// The writer has ended; [`QueueFull`] gives the command back.
    pub async fn send(&self, command: O) -> Result<(), QueueFull<O>> {
        self.queue.send(command).await.map_err(|error| QueueFull(error.0))
    }
}

impl<O> Clone for BatchWriter<O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

async fn write<O: Outbound>(redis: Redis, part: &'static str, mut commands: mpsc::Receiver<O>) {
    let mut outage = Outage::new(part);
    let mut batch = Vec::with_capacity(LARGEST_BATCH);
    let mut pipeline = Commands::default();
    let mut connection = DedicatedConnection::new(redis.clone());
    let mut gathering = Gathering::default();
    connection.prepare().await;
    while commands.recv_many(&mut batch, LARGEST_BATCH).await > 0 {
        gathering.fill(&mut batch, &mut commands).await;
        loop {
            drop_overdue(&mut batch);
            if batch.is_empty() {
                break;
            }
            for outbound in &batch {
                pipeline.command(|args| outbound.write(args));
            }
            let answers = connection.pipeline(&pipeline).await;
            pipeline.clear();
            let trouble = match answers {
                Ok(values) => settle(&mut batch, values),
                Err(error) => {
                    batch.iter_mut().for_each(O::became_uncertain);
                    Some(error)
                }
            };
            let Some(error) = trouble else {
                outage.healed();
                break;
            };
            give_up(&redis, &mut batch, &error);
            if batch.is_empty() {
                break;
            }
            redis.metrics().retries.increment(batch.len() as u64);
            tokio::time::sleep(outage.failed(&error)).await;
        }
    }
}

/// Lets a small batch grow by those who are about to send: it gives the processor to other threads
/// (`sched_yield`), looks at the sockets and takes what has come, as long as that brings something.
///
/// Where callers, gateways, Redis and workers share processors, each wakes the next with its first
/// message and is put off it; a pipeline of two or three requests then costs all of them as much as one
/// of fifteen. Measured: `docs/PERFORMANCE.md`, "What was tried".
#[derive(Default)]
struct Gathering {
    /// How many commands the batch before had.
    last: usize,
    /// How often yields took long lately: more for each that did, less for each that did not.
    long_yields: u32,
    /// Until then the processor belongs to somebody who does not give it back soon.
    paused_until: Option<Instant>,
}

/// A batch is large enough: more of them together save next to nothing.
const ENOUGH: usize = 16;

/// Yields for one batch.
const MOST_YIELDS: usize = 4;

/// Replicas, Redis and workers on one processor give it back sooner, all of them together; strangers each
/// keep it for a time slice of the scheduler (3 to 4 ms).
const LONG_YIELD: Duration = Duration::from_millis(10);

/// A long yield weighs as much as so many short ones: now and then the host takes a processor away.
const LONG_WEIGHT: u32 = 4;

/// Three long yields close together.
const TOO_OFTEN: u32 = 3 * LONG_WEIGHT;

/// How long not to yield to a stranger again.
const YIELD_PAUSE: Duration = Duration::from_secs(1);

impl Gathering {
    async fn fill<T>(&mut self, batch: &mut Vec<T>, queue: &mut mpsc::Receiver<T>) {
        let alone = batch.len() == 1 && self.last <= 1;
        if !alone && self.paused_until.is_none_or(|until| Instant::now() >= until) {
            for _ in 0..MOST_YIELDS {
                if batch.len() >= ENOUGH || !self.wait(batch, queue).await {
                    break;
                }
            }
        }
        self.last = batch.len();
    }

    /// Yields once; false if that brought nothing or took long.
    async fn wait<T>(&mut self, batch: &mut Vec<T>, queue: &mut mpsc::Receiver<T>) -> bool {
        let (before, had) = (Instant::now(), batch.len());
        std::thread::yield_now();
        let long = before.elapsed() >= LONG_YIELD;
        self.learn(long);
        // The runtime looks at its sockets before it comes back here.
        tokio::task::yield_now().await;
        while batch.len() < LARGEST_BATCH
            && let Ok(command) = queue.try_recv()
        {
            batch.push(command);
        }
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

/// Settles each command of a batch that was answered; what failed for the connection's sake stays
/// for another try, and its error is returned.
fn settle<O: Outbound>(batch: &mut Vec<O>, values: Vec<Value>) -> Option<Error> {
    let mut trouble = None;
    let mut kept = Vec::new();
    for (outbound, value) in batch.drain(..).zip(values) {
        match checked(value) {
            Err(error) if error.is_about_the_connection() => {
                trouble = Some(error);
                kept.push(outbound);
            }
            result => outbound.settle(result),
        }
    }
    if trouble.is_some() {
        *batch = kept;
    }
    trouble
}

/// Settles what waited in the queue for too long: sending it now would hold up those behind it.
fn drop_overdue<O: Outbound>(batch: &mut Vec<O>) {
    let now = Instant::now();
    for outbound in batch.extract_if(.., |outbound| outbound.give_up_at() <= now) {
        let error = Error::new(ErrorKind::NotServing, "Redis did not take it in time");
        outbound.settle(Err(error));
    }
}

/// Settles with `error` what is not worth another try: its time is up, or the circuit is open and
/// everybody gets a fast answer now.
fn give_up<O: Outbound>(redis: &Redis, batch: &mut Vec<O>, error: &Error) {
    let now = Instant::now();
    let open = redis.circuit().state() != BreakerState::Closed;
    for outbound in std::mem::take(batch) {
        if open || outbound.give_up_at() <= now {
            outbound.settle(Err(error.clone()));
        } else {
            batch.push(outbound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a batch of `first` if four others send one each, one after the other, whenever
    /// they get to run.
    async fn filled(gathering: &mut Gathering, first: usize) -> usize {
        let (queue, mut commands) = mpsc::channel(64);
        let mut batch = vec![(); first];
        let others = tokio::spawn(async move {
            for _ in 0..4 {
                queue.send(()).await.expect("room");
                tokio::task::yield_now().await;
            }
        });
        gathering.fill(&mut batch, &mut commands).await;
        others.abort();
        batch.len()
    }

    #[tokio::test]
    async fn a_batch_grows_by_those_who_are_about_to_send() {
        assert!(filled(&mut Gathering::default(), 2).await > 2);
        assert!(filled(&mut Gathering { last: 2, ..Gathering::default() }, 1).await > 1);
    }

    #[tokio::test]
    async fn a_lone_command_and_a_large_batch_leave_at_once() {
        assert_eq!(filled(&mut Gathering::default(), 1).await, 1);
        assert_eq!(filled(&mut Gathering::default(), ENOUGH).await, ENOUGH);
    }

    #[tokio::test]
    async fn a_processor_that_others_keep_is_not_given_away_again() {
        let mut gathering = Gathering::default();
        (0..3).for_each(|_| gathering.learn(true));

        assert_eq!(filled(&mut gathering, 2).await, 2);
    }

    #[tokio::test]
    async fn a_long_yield_now_and_then_changes_nothing() {
        let mut gathering = Gathering::default();
        for turn in 0..100 {
            gathering.learn(turn % 10 == 0);
        }

        assert!(filled(&mut gathering, 2).await > 2);
    }
}
