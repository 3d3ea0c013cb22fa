//! The job of a [`Worker`](super::Worker): decodes a value, runs the handler, and follows the retry policy.

use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::delivery::{Delivery, HandlerResult};
use super::execution::{Execution, Outcome};
use super::job::{Conclusion, Job, NoReply};
use super::stats::Stats;
use crate::clock::Clock;
use crate::resilience::RetryPolicy;
use crate::stream::{Disposition, LeasedEntry, Source};

pub(super) struct MessageJob<S, H> {
    pub(super) source: S,
    pub(super) handler: H,
    pub(super) retry: RetryPolicy,
    pub(super) timeout: Duration,
    pub(super) stats: Stats,
}

impl<S, H, F> Job for MessageJob<S, H>
where
    S: Source,
    H: Fn(Delivery<S::Value>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerResult> + Send,
{
    type Task = Delivery<S::Value>;
    type Reply = NoReply;

    fn joined(&mut self, consumer: &str) {
        self.stats.joined(consumer);
    }

    fn accept(&self, leased: &LeasedEntry) -> Result<Delivery<S::Value>, Conclusion<NoReply>> {
        let LeasedEntry { entry, attempt, .. } = leased;
        if *attempt > self.retry.most_deliveries() {
            let reason = format!("given up after {} deliveries", attempt - 1);
            return Err(self.conclude(Disposition::DeadLetter(reason)));
        }
        let value = self.source.decode(entry);
        let value =
            value.map_err(|error| self.conclude(Disposition::DeadLetter(format!("undecodable: {error}"))))?;
        Ok(Delivery { id: entry.id, value, attempt: *attempt })
    }

    async fn perform(
        &self,
        delivery: Delivery<S::Value>,
        leased: &LeasedEntry,
        execution: &Execution<Self>,
    ) -> Option<Conclusion<NoReply>> {
        let (id, attempt) = (delivery.id, delivery.attempt);
        let clock = self.source.redis().clock();
        let queued_ms = clock.now_ms().saturating_sub(id.ms);
        execution.metrics.queue.record(queued_ms as f64 / 1_000.0);
        let started = Instant::now();
        // A handler may panic even before it returns its future.
        let handling = async { (self.handler)(delivery).await };
        let outcome = pin!(execution.watch(handling, started + self.timeout, leased)).await;
        let spent = started.elapsed();
        let result = match outcome {
            Outcome::Returned(result) => result.into_disposition(),
            Outcome::Panicked => Err("the handler panicked".to_owned()),
            Outcome::TimedOut => Err(format!("the handler took longer than {:?}", self.timeout)),
            Outcome::LeaseLost => {
                tracing::warn!(entry = %id, "another worker took over the lease; work cancelled");
                return None;
            }
            Outcome::Abandoned => return Some(Conclusion::silent(Disposition::HandBack)),
        };
        execution.metrics.work.record(spent.as_secs_f64());
        execution.usual_work.learn(spent);
        self.stats.ended(spent, clock.now_ms(), result.as_ref().err().map(String::as_str));
        let disposition = result.unwrap_or_else(|error| match self.retry.delay_after(attempt) {
            Some(delay) => {
                tracing::debug!(entry = %id, attempt, %error, ?delay, "the handler failed; will retry");
                Disposition::RetryAfter(delay)
            }
            None => Disposition::DeadLetter(format!("failed {attempt} times, at last: {error}")),
        });
        Some(self.conclude(disposition))
    }
}

impl<S, H> MessageJob<S, H> {
    fn conclude(&self, disposition: Disposition) -> Conclusion<NoReply> {
        self.stats.concluded(&disposition);
        Conclusion::silent(disposition)
    }
}
