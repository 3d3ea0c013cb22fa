use redis::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::batch_size::BatchSize;
use super::{Arguments, Commands, ExclusiveConnection};
use crate::connection::error::{Error, ErrorKind, checked};
use crate::connection::{Redis, RetryLog};
use crate::resilience::BreakerState;

/// One command on its way to Redis and what to do with its result.
pub trait Outbound: Send + 'static {
    /// Writes the command: its name and its arguments.
    fn write(&self, args: &mut Arguments<'_>);

    /// Until when it is worth sending again after trouble with the connection. A command that is
    /// sent again may have been executed before.
    fn give_up_at(&self) -> Instant;

    /// False if nobody waits for what it does any more: it is not sent again.
    fn is_wanted(&self) -> bool {
        true
    }

    /// A try ended without an answer: it may have been executed.
    fn became_uncertain(&mut self) {}

    /// The end of its way.
    fn settle(self, result: Result<Value, Error>);
}

/// Writes commands in natural batches: takes the first, adds whatever else is queued already,
/// sends them as one pipeline, or as several if they are large. There is no timer: alone, a command
/// leaves at once; with others about it lets those come who are about to (see `BatchSize`).
///
/// One task writes for all clones, one pipeline at a time, so batches form by themselves while
/// the previous one is on its way.
pub struct BatchWriter<O> {
    queue: mpsc::Sender<O>,
}

/// The queue is full, or its writer has ended; the command comes back unsent.
#[derive(Debug)]
pub struct QueueFull<O>(pub O);

impl<O: Outbound> BatchWriter<O> {
    /// Starts the writer. It ends when the last clone is dropped and the queue is empty. `part`
    /// names it in logs; `capacity` bounds the queue. `callers` tells how many wait for something that
    /// is sent here, at this moment: the more, the larger a batch may be.
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

/// Settles the commands of a batch that were answered, its first ones; what failed for the connection's
/// sake stays for another try, and its error is returned.
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

/// Settles what waited in the queue for too long: sending it now would hold up those behind it.
fn drop_overdue<O: Outbound>(batch: &mut Vec<O>) {
    let now = Instant::now();
    for outbound in batch.extract_if(.., |outbound| outbound.give_up_at() <= now) {
        let error = Error::new(ErrorKind::NotServing, "Redis did not take it in time");
        outbound.settle(Err(error));
    }
}

/// Settles with `error` what is not worth another try: nobody wants it any more, its time is up, or the
/// circuit is open and everybody gets a fast answer now.
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
    fn unsent_entries_and_those_to_try_again_stay_in_order() {
        let (told, settled) = channel();
        let mut batch: Vec<Numbered> = (0..5).map(|number| Numbered(number, told.clone())).collect();
        let answer = |text: &[u8]| redis::parse_redis_value(text).expect("RESP2");
        let values =
            vec![answer(b"+OK\r\n"), answer(b"-LOADING it is not there yet\r\n"), answer(b"+OK\r\n")];

        let trouble = settle(&mut batch, values);

        assert!(trouble.is_some_and(|error| error.is_about_the_connection()));
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(batch.iter().map(|Numbered(number, _)| *number).collect::<Vec<_>>(), [1, 3, 4]);
    }
}
