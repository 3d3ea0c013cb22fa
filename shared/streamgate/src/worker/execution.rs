//! Takes one delivery to its settlement: decodes the request, checks that time is left, and runs the handler while it
//! watches the lease, the deadline and panics.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use opentelemetry::KeyValue;
use tokio::sync::{RwLock, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handler::{Handler, Response, Work};
use super::metrics::ResponderMetrics;
use super::outcome::{Outcome, Outgoing, Settlement};
use super::settings::ResponderSettings;
use crate::clock::{Clock, ServerClock};
use crate::envelope::{CorrelationId, Deadline, Reply, Request};
use crate::resilience::{ConcurrencyLimit, Slot, UsualTime};
use crate::stream::{Disposition, LeasedEntry};
use crate::telemetry::{Span, SpanKind};

/// What all tasks of one worker share.
pub(super) struct Execution<H> {
    pub(super) handler: H,
    pub(super) settings: ResponderSettings,
    pub(super) metrics: ResponderMetrics,
    pub(super) clock: Arc<ServerClock>,
    pub(super) limit: ConcurrencyLimit,
    pub(super) settled: mpsc::UnboundedSender<Settlement>,
    /// Ordinary work holds a read lock. A suspect, an entry that may kill workers, holds the write lock.
    pub(super) isolation: Arc<RwLock<()>>,
    /// Cancelled when the grace period of a stopping worker ends.
    pub(super) abandon: CancellationToken,
    pub(super) usual_work: UsualTime,
    /// The runtime has one thread, so work in the read loop delays other tasks no more than work in a task would.
    pub(super) one_thread: bool,
}

impl<H: Handler> Execution<H> {
    /// `None` if the lease was lost: another worker settles the entry.
    pub(super) async fn work(&self, delivery: LeasedEntry, slot: Slot) -> Option<Settlement> {
        let fallback = delivery.entry.id.ms.saturating_add(self.settings.request_timeout.as_millis() as u64);
        let fallback = Deadline::at(fallback);
        let request = match Request::decode(&delivery.entry.fields, fallback) {
            Ok(request) => request,
            Err(error) => return Some(self.undecodable(delivery, slot, fallback, &error.to_string())),
        };
        if !self.settings.reply_stream.is_or_has_lane(&request.reply_to) {
            let reason = format!("reply_to is not {} or one of its lanes", self.settings.reply_stream);
            return Some(dead_letter(delivery, slot, None, reason));
        }
        let origin =
            Origin { id: request.id, lane: Arc::clone(&request.reply_to), deadline: request.deadline };
        if delivery.attempt > self.settings.max_deliveries {
            let reason = format!("given up after {} deliveries", delivery.attempt - 1);
            let reply =
                self.problem_in_time(&origin, &delivery, "the work was tried too often without success");
            return Some(dead_letter(delivery, slot, reply, reason));
        }
        if delivery.lease.is_suspect() {
            let alone = Arc::clone(&self.isolation).write_owned().await;
            let settlement = self.execute(request, origin, delivery, slot).await;
            settlement.map(|settlement| Settlement { _alone: Some(alone), ..settlement })
        } else {
            let _together = self.isolation.read().await;
            self.execute(request, origin, delivery, slot).await
        }
    }

    async fn execute(
        &self,
        request: Request,
        origin: Origin,
        delivery: LeasedEntry,
        slot: Slot,
    ) -> Option<Settlement> {
        if delivery.lease.is_lost() {
            return None;
        }
        let now_ms = self.clock.now_ms();
        let left = request.deadline.remaining_at(now_ms);
        if left.is_zero() {
            return Some(self.expired(delivery, slot));
        }
        if left < self.usual_work.get() {
            self.usual_work.decay();
            self.metrics.expired.increment(1);
            let reply =
                self.problem(&origin, &delivery, 503, "not started: too little time was left to do the work");
            return Some(Settlement {
                delivery,
                _slot: slot,
                _alone: None,
                reply: Some(reply),
                disposition: Disposition::Acknowledge,
            });
        }
        let queued_ms = now_ms.saturating_sub(delivery.entry.id.ms);
        self.metrics.queue.record(queued_ms as f64 / 1_000.0);
        let (id, entry, attempt) = (origin.id, delivery.entry.id, delivery.attempt);
        tracing::debug!(%id, %entry, attempt, left_ms = left.as_millis() as u64, "executing");
        let started = Instant::now();
        let time_left = left.min(self.settings.handler_timeout);
        let mut span = self.span_of(&request, &delivery);
        let request = Request { trace: span.context().or(request.trace), ..request };
        let work = Work { request, attempt: delivery.attempt, time_left };
        let outcome = {
            // Pinned here, because each layer around it would otherwise copy the whole future.
            let run = pin!(self.run(work, started + time_left, &delivery));
            span.around(run).await
        };
        outcome.record_in(&mut span);
        drop(span);
        let spent = started.elapsed();
        self.metrics.work.record(spent.as_secs_f64());
        self.conclude(outcome, spent, &origin, delivery, slot)
    }

    /// The span of the work on one delivery, below the span of the request's sender.
    fn span_of(&self, request: &Request, delivery: &LeasedEntry) -> Span {
        let ResponderSettings { tracer, group, .. } = &self.settings;
        let stream = group.stream.as_str();
        let mut span = tracer.start(SpanKind::Consumer, request.trace, || format!("process {stream}"));
        span.record(|| {
            [
                KeyValue::new("messaging.system", "redis"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.operation.name", "XREADGROUP"),
                KeyValue::new("messaging.destination.name", stream.to_owned()),
                KeyValue::new("messaging.consumer.group.name", group.group.clone()),
                KeyValue::new("messaging.client.id", self.settings.worker.to_string()),
                KeyValue::new("messaging.message.id", delivery.entry.id.to_string()),
                KeyValue::new("messaging.message.conversation_id", request.id.to_string()),
                KeyValue::new("streamgate.attempt", i64::from(delivery.attempt)),
            ]
        });
        span
    }

    async fn run(&self, work: Work, until: Instant, delivery: &LeasedEntry) -> Outcome {
        if self.abandon.is_cancelled() {
            return Outcome::Abandoned;
        }
        // A handler may panic even before it returns its future.
        let handling = AssertUnwindSafe(async { self.handler.handle(work).await });
        let handler = pin!(handling.catch_unwind());
        tokio::select! {
            biased;
            result = tokio::time::timeout_at(until, handler) => match result {
                Ok(Ok(response)) => Outcome::Answered(response),
                Ok(Err(_panic)) => Outcome::Panicked,
                Err(_elapsed) => Outcome::TimedOut,
            },
            () = delivery.lease.lost() => Outcome::LeaseLost,
            () = self.abandon.cancelled() => Outcome::Abandoned,
        }
    }

    fn conclude(
        &self,
        outcome: Outcome,
        spent: Duration,
        origin: &Origin,
        delivery: LeasedEntry,
        slot: Slot,
    ) -> Option<Settlement> {
        let (reply, disposition) = match outcome {
            Outcome::Answered(response) if !response.is_sendable() => {
                let (status, bytes) = (response.status, response.body.len());
                tracing::error!(
                    id = %origin.id,
                    status,
                    bytes,
                    "the handler's response is no valid HTTP answer or is too large"
                );
                let detail = "the worker's response cannot be sent as an HTTP answer";
                (Some(self.problem(origin, &delivery, 502, detail)), Disposition::Acknowledge)
            }
            Outcome::Answered(response) => {
                self.usual_work.learn(spent);
                tracing::debug!(id = %origin.id, entry = %delivery.entry.id, status = response.status, "worked");
                (Some(self.outgoing(origin, &delivery, response, spent)), Disposition::Acknowledge)
            }
            Outcome::Panicked => {
                tracing::error!(id = %origin.id, entry = %delivery.entry.id, "the handler panicked");
                let reply = self.problem(origin, &delivery, 502, "the work failed");
                (Some(reply), Disposition::DeadLetter("the handler panicked".to_owned()))
            }
            Outcome::TimedOut if origin.deadline.has_passed(&*self.clock) => {
                return Some(self.expired(delivery, slot));
            }
            Outcome::TimedOut => {
                tracing::warn!(id = %origin.id, limit_ms = spent.as_millis() as u64, "the handler took too long");
                let reply = self.problem(
                    origin,
                    &delivery,
                    502,
                    "the work took longer than a worker may spend on it",
                );
                (Some(reply), Disposition::Acknowledge)
            }
            Outcome::LeaseLost => {
                tracing::warn!(
                    id = %origin.id,
                    entry = %delivery.entry.id,
                    "another worker took over the lease; work cancelled"
                );
                return None;
            }
            Outcome::Abandoned => (None, Disposition::HandBack),
        };
        Some(Settlement { delivery, _slot: slot, _alone: None, reply, disposition })
    }

    /// The caller no longer waits: the entry is acknowledged without a reply.
    fn expired(&self, delivery: LeasedEntry, slot: Slot) -> Settlement {
        self.metrics.expired.increment(1);
        Settlement { delivery, _slot: slot, _alone: None, reply: None, disposition: Disposition::Acknowledge }
    }

    /// Makes the entry a dead letter. If it has a readable `id` and `reply_to`, its caller gets a 502.
    fn undecodable(&self, delivery: LeasedEntry, slot: Slot, deadline: Deadline, error: &str) -> Settlement {
        let fields = &delivery.entry.fields;
        let id = fields.get("id").and_then(CorrelationId::from_bytes);
        let lane = fields.text("reply_to").filter(|lane| self.settings.reply_stream.is_or_has_lane(lane));
        let reply = id.zip(lane).and_then(|(id, lane)| {
            let origin = Origin { id, lane: lane.into(), deadline };
            self.problem_in_time(&origin, &delivery, &format!("the request could not be read: {error}"))
        });
        dead_letter(delivery, slot, reply, format!("undecodable: {error}"))
    }

    /// A 502 for an entry that is given up; `None` once its deadline has passed. The check avoids a late reply if
    /// giving up takes several tries.
    fn problem_in_time(&self, origin: &Origin, delivery: &LeasedEntry, detail: &str) -> Option<Outgoing> {
        (!origin.deadline.has_passed(&*self.clock)).then(|| self.problem(origin, delivery, 502, detail))
    }

    fn problem(&self, origin: &Origin, delivery: &LeasedEntry, status: u16, detail: &str) -> Outgoing {
        self.outgoing(origin, delivery, Response::problem(origin.id, status, detail), Duration::ZERO)
    }

    fn outgoing(
        &self,
        origin: &Origin,
        delivery: &LeasedEntry,
        response: Response,
        work: Duration,
    ) -> Outgoing {
        Outgoing {
            lane: Arc::clone(&origin.lane),
            deadline: origin.deadline,
            reply: Reply {
                id: origin.id,
                status: response.status,
                content_type: response.content_type,
                body: response.body,
                worker: Arc::clone(&self.settings.worker),
                attempt: delivery.attempt,
                work,
                retry_after: response.retry_after,
            },
        }
    }
}

/// The parts of a request that its reply needs.
struct Origin {
    id: CorrelationId,
    lane: Arc<str>,
    deadline: Deadline,
}

fn dead_letter(delivery: LeasedEntry, slot: Slot, reply: Option<Outgoing>, reason: String) -> Settlement {
    Settlement { delivery, _slot: slot, _alone: None, reply, disposition: Disposition::DeadLetter(reason) }
}
