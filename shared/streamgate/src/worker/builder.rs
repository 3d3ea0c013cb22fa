use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::delivery::{Delivery, HandlerResult};
use super::engine::{Engine, PartEnded};
use super::message_job::MessageJob;
use super::metrics::{ReplyMetrics, WorkerMetrics};
use super::rehearsal::rehearsal_of;
use super::stats::Stats;
use crate::resilience::RetryPolicy;
use crate::stream::{ConsumerGroup, Group, HousekeepingSettings, InvalidName, Source};
use crate::telemetry::Readiness;

/// A worker: takes entries of a stream as a member of a consumer group, runs a handler for each and settles it.
///
/// Promise: at least once, with a lease. A handler may run again after a crash, so it should be idempotent for an
/// entry's id. An entry ends acknowledged or as a dead letter; a failed one is tried again as the [`RetryPolicy`] says,
/// outside the pending entries. There is no order among the entries of a group. What Redis loses (see "durability" in
/// docs/OPERATIONS.md) is lost.
///
/// The worker claims the entries of dead workers, runs an entry that may kill workers alone, cancels a handler whose
/// lease is lost, trims finished entries, removes consumers that died long ago, and survives that Redis, the stream or
/// the group vanish and come back.
///
/// ```no_run
/// # async fn example(redis: streamgate::connection::Redis) -> Result<(), Box<dyn std::error::Error>> {
/// use streamgate::channel::StreamChannel;
/// use streamgate::stream::Group;
/// use streamgate::worker::{Delivery, Worker};
/// # let stop = tokio_util::sync::CancellationToken::new();
///
/// let orders = StreamChannel::<String>::new(&redis, "orders")?;
/// Worker::new(&orders, Group::new("billing"))
///     .concurrency(16)
///     .handle(async |order: Delivery<String>| charge(&order.value).await)
///     .run(stop)
///     .await?;
/// # Ok(())
/// # }
/// # async fn charge(_: &str) -> Result<(), std::io::Error> { Ok(()) }
/// ```
#[must_use = "a worker does nothing until it runs"]
pub struct Worker<S, H = ()> {
    source: S,
    group: Group,
    concurrency: usize,
    retry: RetryPolicy,
    timeout: Duration,
    grace: Duration,
    housekeeping: Option<HousekeepingSettings>,
    readiness: Readiness,
    stats: Stats,
    handler: H,
}

const CONCURRENCY: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(25);

impl<S: Source> Worker<S> {
    /// A worker for the entries of `source`, as a member of `group`.
    pub fn new(source: &S, group: Group) -> Self {
        Self {
            source: source.clone(),
            group,
            concurrency: CONCURRENCY,
            retry: RetryPolicy::default(),
            timeout: TIMEOUT,
            grace: GRACE,
            housekeeping: Some(HousekeepingSettings::default()),
            readiness: Readiness::default(),
            stats: Stats::new(),
            handler: (),
        }
    }

    /// The handler: it runs for each entry, up to [`Worker::concurrency`] at once. It is cancelled (its future is
    /// dropped) if its lease is lost or its time is up. Work that blocks its thread for long belongs in
    /// `spawn_blocking`.
    pub fn handle<H, F>(self, handler: H) -> Worker<S, H>
    where
        H: Fn(Delivery<S::Value>) -> F + Send + Sync + 'static,
        F: Future<Output: HandlerResult> + Send,
    {
        let Self {
            source, group, concurrency, retry, timeout, grace, housekeeping, readiness, stats, ..
        } = self;
        Worker { source, group, concurrency, retry, timeout, grace, housekeeping, readiness, stats, handler }
    }
}

impl<S, H> Worker<S, H> {
    /// The most entries that the worker works on at once, at least 1; the default is 256. It holds no more entries, so
    /// this also bounds its memory.
    pub fn concurrency(self, entries: usize) -> Self {
        Self { concurrency: entries.max(1), ..self }
    }

    /// When a failed entry is tried again, and after how many deliveries it becomes a dead letter.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        Self { retry: policy, ..self }
    }

    /// The longest a handler may take; the default is 10 seconds. An entry whose handler took longer has failed.
    pub fn timeout(self, longest: Duration) -> Self {
        Self { timeout: longest, ..self }
    }

    /// How long a stopping worker waits for its handlers; the default is 25 seconds. Then it gives their entries back
    /// to the group, and this delivery does not count.
    pub fn grace(self, longest: Duration) -> Self {
        Self { grace: longest, ..self }
    }

    /// How the worker trims the stream: it removes only entries that every group has finished. The default keeps
    /// 100,000 finished entries, an hour or 256 MB, whichever is least. `None`: it does not trim.
    pub fn housekeeping(self, settings: impl Into<Option<HousekeepingSettings>>) -> Self {
        Self { housekeeping: settings.into(), ..self }
    }

    /// Adds the parts `reader` and `permissions` to the readiness of the process: the first is set while the worker can
    /// read the stream, the second while Redis permits every command that it needs.
    pub fn readiness(self, readiness: &Readiness) -> Self {
        Self { readiness: readiness.clone(), ..self }
    }

    /// A view of what the worker does, for an overview or a health page.
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }
}

impl<S, H, F> Worker<S, H>
where
    S: Source,
    H: Fn(Delivery<S::Value>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerResult> + Send,
{
    /// Works until `stop`. Then it takes no more entries, finishes those it holds within its grace, gives back the
    /// others and leaves the group. If Redis cannot be reached, it tries again until it can.
    ///
    /// # Errors
    /// A name is not valid, or a part of the worker ended before `stop`, which is a defect.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WorkerError> {
        let settings = self.group.of(self.source.key().clone())?;
        let metrics = WorkerMetrics::declare(&settings);
        self.stats.declare(&settings);
        let redis = self.source.redis().clone();
        let engine = Engine {
            group: ConsumerGroup::new(redis.clone(), settings.clone(), metrics.group.clone()),
            redis,
            metrics,
            replies: ReplyMetrics::none(),
            concurrency: self.concurrency,
            intake: None,
            housekeeping: self.housekeeping,
            lane_ttl: Duration::ZERO,
            delays: true,
            rehearsal: rehearsal_of(&settings, true),
            reading: self.readiness.latch("reader"),
            permitted: self.readiness.latch("permissions"),
            job: MessageJob {
                source: self.source,
                handler: self.handler,
                retry: self.retry,
                timeout: self.timeout,
                stats: self.stats,
            },
        };
        Ok(engine.run(stop, self.grace).await?)
    }
}

/// Why a worker did not run, or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// The name of the group or of the consumer is not valid.
    #[error("the name of a group and of a consumer {0}")]
    Name(#[from] InvalidName),
    /// A part ended by itself.
    #[error(transparent)]
    Part(#[from] PartEnded),
}
