use redis::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::batch_size::BatchSize;
use super::{Arguments, Commands, ExclusiveConnection};
use crate::connection::error::{Error, ErrorKind, checked};
use crate::connection::{Redis, RetryLog};
use crate::resilience::BreakerState;

/// One command on its way to Redis, and the use of its result.
pub trait Outbound: Send + 'static {
    /// Writes the command: its name and its arguments.
    fn write(&self, args: &mut Arguments<'_>);

    /// Until this time the command is sent again if the connection fails. It may then be executed twice.
    fn give_up_at(&self) -> Instant;

    /// False if its result is no longer needed; it is then not sent again.
    fn is_wanted(&self) -> bool {
        true
    }

    /// A try ended without an answer: the command may have been executed.
    fn became_uncertain(&mut self) {}

    /// Takes the final result.
    fn settle(self, result: Result<Value, Error>);
}

/// Writes commands in batches: it takes the first command, adds all others that are already queued,
/// and sends them as one pipeline, or as several if they are large. There is no timer: a single command
/// is sent at once, and a small batch waits only for commands that are about to come (see `BatchSize`).
///
/// One task writes for all clones, one pipeline at a time. While it waits for one pipeline, the next batch
/// collects in the queue.
pub struct BatchWriter<O> {
    queue: mpsc::Sender<O>,
}

/// The queue is full, or its writer has ended; the unsent command is returned.
#[derive(Debug)]
pub struct QueueFull<O>(pub O);

impl<O: Outbound> BatchWriter<O> {
    /// Starts the writer. It ends when the last clone is dropped and the queue is empty. `part`
    /// names it in logs; `capacity` bounds the queue. `callers` returns the number of callers that now wait for
    /// replies to these commands: the more callers, the larger a batch may be.
    pub fn spawn(
        redis: Redis,
        part: &'static str,
        capacity: usize,
        callers: impl Fn() -> usize + Send + 'static,
    ) -> Self {
        let (queue, commands) = mpsc::channel(capacity.max(1));
        tokio::spawn(write(redis, part, commands, BatchSize::new(callers)));
        Self { queue }
    }

    /// Queues a command if there is room.
    ///
    /// # Errors
    /// [`QueueFull`] returns the command.
    pub fn try_send(&self, command: O) -> Result<(), QueueFull<O>> {
        self.queue.try_send(command).map_err(|error| QueueFull(error.into_inner()))
    }

    /// Queues a command, waiting for room.
    ///
    /// # Errors
    /// The writer has ended; [`QueueFull`] returns the command.
    pub async fn send(&self, command: O) -> Result<(), QueueFull<O>> {
        self.queue.send(command).await.map_err(|error| QueueFull(error.0))
    }
}

impl<O> Clone for BatchWriter<O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

async fn write<O: Outbound>(
    redis: Redis,
    part: &'static str,
    mut commands: mpsc::Receiver<O>,
    mut batch_size: BatchSize,
) {
    let mut outage = RetryLog::new(part);
    let mut batch = Vec::new();
    let mut pipeline = Commands::default();
    let mut connection = ExclusiveConnection::new(redis.clone());
    connection.prepare().await;
    loop {
        batch_size.next(&mut batch, &mut commands).await;
        if batch.is_empty() {
            return;
        }
        loop {
            drop_overdue(&mut batch);
            if batch.is_empty() {
                break;
            }
            let fits = |outbound: &&O| pipeline.command_if_it_fits(|args| outbound.write(args));
            let sent = batch.iter().take_while(fits).count();
            let answers = connection.pipeline(&pipeline).await;
            pipeline.clear();
            let trouble = match answers {
                Ok(values) => settle(&mut batch, values),
                Err(error) => {
                    batch.iter_mut().take(sent).for_each(O::became_uncertain);
                    Some(error)
                }
            };
            let Some(error) = trouble else {
                outage.healed();
                continue;
            };
            give_up(&redis, &mut batch, &error);
            if batch.is_empty() {
                break;
            }
            redis.metrics().retries.increment(batch.len().min(sent) as u64);
            tokio::time::sleep(outage.failed(&error)).await;
        }
    }
}

/// Gives each answer to its command; the first commands of the batch have answers. If a command failed because of the
/// connection or the node, it stays in the batch for another try, and the error is returned.
fn settle<O: Outbound>(batch: &mut Vec<O>, values: Vec<Value>) -> Option<Error> {
    let mut trouble = None;
    let mut kept = Vec::new();
    let answered = values.len().min(batch.len());
    for (outbound, value) in batch.drain(..answered).zip(values) {
        match checked(value) {
            Err(error) if error.is_about_the_connection() => {
                trouble = Some(error);
                kept.push(outbound);
            }
            result => outbound.settle(result),
        }
    }
    batch.splice(..0, kept);
    trouble
}

/// Fails the commands that waited in the queue for too long: to send them now would delay the others.
fn drop_overdue<O: Outbound>(batch: &mut Vec<O>) {
    let now = Instant::now();
    for outbound in batch.extract_if(.., |outbound| outbound.give_up_at() <= now) {
        let error = Error::new(ErrorKind::NotServing, "Redis did not take the command in time");
        outbound.settle(Err(error));
    }
}

/// Fails with `error` the commands that get no further try: their result is no longer wanted, their time is up, or the
/// circuit is open and all callers get a fast answer.
fn give_up<O: Outbound>(redis: &Redis, batch: &mut Vec<O>, error: &Error) {
    let now = Instant::now();
    let open = redis.circuit().state() != BreakerState::Closed;
    for outbound in std::mem::take(batch) {
        if open || !outbound.is_wanted() || outbound.give_up_at() <= now {
            outbound.settle(Err(error.clone()));
        } else {
            batch.push(outbound);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    struct Numbered(usize, Sender<usize>);

    impl Outbound for Numbered {
        fn write(&self, _: &mut Arguments<'_>) {}

        fn give_up_at(&self) -> Instant {
            Instant::now()
        }

        fn settle(self, _: Result<Value, Error>) {
            self.1.send(self.0).expect("listening");
        }
    }

    #[test]
    fn unsent_and_failed_commands_stay_in_order() {
        let (sender, settled) = channel();
        let mut batch: Vec<Numbered> = (0..5).map(|number| Numbered(number, sender.clone())).collect();
        let answer = |text: &[u8]| redis::parse_redis_value(text).expect("RESP2");
        let values =
            vec![answer(b"+OK\r\n"), answer(b"-LOADING it is not there yet\r\n"), answer(b"+OK\r\n")];

        let trouble = settle(&mut batch, values);

        assert!(trouble.is_some_and(|error| error.is_about_the_connection()));
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(batch.iter().map(|Numbered(number, _)| *number).collect::<Vec<_>>(), [1, 3, 4]);
    }
}
