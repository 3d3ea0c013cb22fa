use std::collections::VecDeque;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::fetch::{Fetch, Schedule};
use super::settler::Settler;
use super::{Reader, Tasks};
use crate::channel::StreamChannel;
use crate::codec::{Codec, Json};
use crate::connection::{Error, ErrorKind, RetryLog};
use crate::stream::{
    Claimer, Consumer, ConsumerGroup, Delays, Entry, Group, GroupMetrics, InvalidName, Leases, Retention,
    Source, StreamKey,
};
use crate::telemetry::Latch;

/// The options of a [`Reader`]. Awaiting it joins the group and starts the reader.
///
/// The names, the start of the group, the length of a lease and the longest time that a read blocks are options of
/// [`Group`].
///
/// ```no_run
/// # use streamgate::channel::{StartError, StreamChannel};
/// # use streamgate::stream::{Group, Start};
/// # async fn example(orders: StreamChannel<String>) -> Result<(), StartError> {
/// let group = Group::new("billing").consumer("billing-1").start(Start::End);
/// let mut reader = orders.reader(group).batch(100).await?;
/// # Ok(())
/// # }
/// ```
pub struct ReaderBuilder<T, C = Json> {
    channel: StreamChannel<T, C>,
    group: Group,
    batch: usize,
    acknowledges_itself: bool,
    reads_pending_first: bool,
    max_deliveries: u32,
    retention: Option<Retention>,
    stop: CancellationToken,
    ready: Option<Latch>,
}

/// Default of [`ReaderBuilder::max_deliveries`].
const MAX_DELIVERIES: u32 = 5;

/// The largest batch.
const LARGEST_BATCH: usize = 10_000;

/// The shortest lease: a shorter one ends before it can be renewed.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

impl<T: Send + 'static, C: Codec<T> + 'static> ReaderBuilder<T, C> {
    pub(in crate::channel) fn new(channel: StreamChannel<T, C>, group: Group) -> Self {
        Self {
            channel,
            group,
            batch: 1,
            acknowledges_itself: false,
            reads_pending_first: true,
            max_deliveries: MAX_DELIVERIES,
            retention: Some(Retention::default()),
            stop: CancellationToken::new(),
            ready: None,
        }
    }

    /// How many entries one read may bring, from 1 to 10,000; the default is 1. The reader reads only when a value is
    /// asked for and none is left of the batch before. So a slow consumer holds up to `entries` that others could work
    /// on, and no more.
    #[must_use]
    pub fn batch(self, entries: usize) -> Self {
        Self { batch: entries, ..self }
    }

    /// Acknowledges a value when the next one is asked for, and the last one when the reader is closed or dropped. So a
    /// value whose work fails is not delivered again. Values that were handed over, and were not acknowledged because
    /// the process died, are delivered again. Without this, the default, each message is acknowledged by hand: use that
    /// for work that must not be lost.
    #[must_use]
    pub fn auto_acknowledge(self) -> Self {
        Self { acknowledges_itself: true, ..self }
    }

    /// Whether the reader starts with all entries that were delivered to this consumer's name and not acknowledged,
    /// before it reads new ones; the default is true. If it is false, it begins with new entries, and those are claimed
    /// after their lease, by any consumer. Entries that other consumers let idle are always claimed.
    #[must_use]
    pub fn read_pending_first(self, first: bool) -> Self {
        Self { reads_pending_first: first, ..self }
    }

    /// An entry that was delivered this often and not settled is moved to the dead letters instead of being delivered
    /// again; the default is 5. Redis counts the deliveries, so those to consumers that died count too.
    #[must_use]
    pub fn max_deliveries(self, deliveries: u32) -> Self {
        Self { max_deliveries: deliveries, ..self }
    }

    /// How much of what all groups have acknowledged stays on the stream; the default is [`Retention::default`]. The
    /// reader trims about every five seconds. It never deletes an entry that a group has not read or not acknowledged.
    #[must_use]
    pub fn keep(self, retention: Retention) -> Self {
        Self { retention: Some(retention), ..self }
    }

    /// Deletes nothing: for a stream that is replayed from its beginning, or that something else trims.
    #[must_use]
    pub fn keep_all(self) -> Self {
        Self { retention: None, ..self }
    }

    /// Closes the reader when `stop` is cancelled.
    #[must_use]
    pub fn stop(self, stop: &CancellationToken) -> Self {
        // Dropping the reader must not stop anything else.
        Self { stop: stop.child_token(), ..self }
    }

    /// Sets `ready` while the last read was good.
    #[must_use]
    pub fn readiness(self, ready: Latch) -> Self {
        Self { ready: Some(ready), ..self }
    }

    async fn start(self) -> Result<Reader<T>, StartError> {
        let key = self.channel.key().clone();
        if !(1..=LARGEST_BATCH).contains(&self.batch) {
            return Err(StartError::Setting("the batch must have 1 to 10000 entries"));
        }
        if self.max_deliveries == 0 {
            return Err(StartError::Setting("max_deliveries must be at least 1"));
        }
        let settings = self.group.of(key.clone())?;
        if settings.claim_min_idle < SHORTEST_LEASE {
            return Err(StartError::Setting("the lease must be at least 100 ms, so that it can be renewed"));
        }
        if settings.block < Duration::from_millis(1) {
            return Err(StartError::Setting("a read must block for at least 1 ms"));
        }
        let metrics = GroupMetrics::declare(&settings);
        let lease = settings.claim_min_idle;
        let group = ConsumerGroup::new(self.channel.redis().clone(), settings, metrics);
        if let Err(error) = group.join().await
            && !may_heal(&error)
        {
            return Err(StartError::refused(key, error));
        }

        let leases = Leases::new(group.clone());
        let consumer = Consumer::new(group.clone(), leases.clone());
        let (settlements, queue) = mpsc::unbounded_channel();
        let (batches, taken) = mpsc::channel(1);
        let (asked, abandon) = (Arc::new(Notify::new()), CancellationToken::new());
        let fetch = Fetch {
            consumer: if self.reads_pending_first { consumer } else { consumer.without_own_pending() },
            claimer: Claimer::new(group.clone(), leases.clone()),
            delays: Delays::new(group.clone(), leases.clone()),
            schedule: Schedule::new(lease, self.reads_pending_first),
            batch: self.batch,
            asked: Arc::clone(&asked),
            batches,
            settlements: settlements.clone(),
            ready: self.ready,
            stop: self.stop.clone(),
        };
        let settler = Settler {
            group: group.clone(),
            leases: leases.clone(),
            queue,
            abandon: abandon.clone(),
            outage: RetryLog::new("settler"),
        };
        let tasks = Tasks {
            group: group.clone(),
            leases: leases.clone(),
            fetch,
            settler,
            retention: self.retention,
            stop: self.stop.clone(),
        };
        let channel = self.channel;
        Ok(Reader {
            group,
            leases,
            decode: Box::new(move |entry: &Entry| channel.decode(entry)),
            acknowledges_itself: self.acknowledges_itself,
            max_deliveries: self.max_deliveries,
            settler: settlements.downgrade(),
            settlements: Some(settlements),
            batches: taken,
            buffer: VecDeque::new(),
            asked,
            has_asked: false,
            handed_over: None,
            stop: self.stop,
            abandon,
            running: Some(tokio::spawn(tasks.run())),
        })
    }
}

/// False if another try will not help: a person must change something.
fn may_heal(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::Refused | ErrorKind::WrongType | ErrorKind::Denied | ErrorKind::NotPermitted
    )
}

impl<T: Send + 'static, C: Codec<T> + 'static> IntoFuture for ReaderBuilder<T, C> {
    type Output = Result<Reader<T>, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// Why a reader did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The name of the group or of the consumer is not valid.
    #[error("the name of the group or of the consumer {0}")]
    Name(#[from] InvalidName),
    /// An option is out of its range.
    #[error("{0}")]
    Setting(&'static str),
    /// The key of the stream holds something else.
    #[error("the key `{0}` is no stream: choose another name for the stream, or delete the key")]
    NotAStream(StreamKey),
    /// Redis refuses to join the group, and would refuse it again. (If Redis is away, the reader starts and waits for
    /// it.)
    #[error("cannot join the group: {0}")]
    Redis(#[source] Error),
}

impl StartError {
    fn refused(key: StreamKey, error: Error) -> Self {
        match error.message().contains("WRONGTYPE") {
            true => Self::NotAStream(key),
            false => Self::Redis(error),
        }
    }
}
