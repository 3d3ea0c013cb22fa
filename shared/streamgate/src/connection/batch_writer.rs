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
/// sends them as one pipeline. Nobody waits to fill a batch; alone, a command leaves at once.
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
    connection.prepare().await;
    while commands.recv_many(&mut batch, LARGEST_BATCH).await > 0 {
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
