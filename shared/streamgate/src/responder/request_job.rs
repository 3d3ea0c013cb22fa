//! Takes one request to its reply: decodes it, checks that time is left, runs the handler and makes the reply.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use tokio::time::Instant;

use super::handler::{Handler, Response, Work};
use super::metrics::ResponderMetrics;
use super::outgoing::OutgoingReply;
use super::settings::ResponderSettings;
use crate::clock::{Clock, ServerClock};
use crate::envelope::{CorrelationId, Deadline, Reply, Request};
use crate::stream::{Disposition, LeasedEntry};
use crate::telemetry::{Span, SpanKind};
use crate::worker::{Execution, Job, Outcome};

/// The job of a [`Responder`](super::Responder).
pub(super) struct RequestJob<H> {
    pub(super) handler: H,
    pub(super) settings: ResponderSettings,
    pub(super) metrics: ResponderMetrics,
    pub(super) clock: Arc<ServerClock>,
}

type Conclusion = crate::worker::Conclusion<OutgoingReply>;

impl<H: Handler> Job for RequestJob<H> {
    type Task = (Request, Origin);
    type Reply = OutgoingReply;

    fn joined(&mut self, consumer: &str) {
        if consumer != self.settings.group.consumer {
            self.settings.worker = consumer.into();
        }
    }

    fn accept(&self, delivery: &LeasedEntry) -> Result<(Request, Origin), Conclusion> {
        let fallback = delivery.entry.id.ms.saturating_add(self.settings.request_timeout.as_millis() as u64);
        let fallback = Deadline::at(fallback);
        let request = match Request::decode(&delivery.entry.fields, fallback) {
            Ok(request) => request,
            Err(error) => return Err(self.undecodable(delivery, fallback, &error.to_string())),
        };
        if !self.settings.reply_stream.is_or_has_lane(&request.reply_to) {
            let reason = format!("reply_to is not {} or one of its lanes", self.settings.reply_stream);
            return Err(dead_letter(None, reason));
        }
        let origin = Origin {
            id: request.id,
            lane: Arc::clone(&request.reply_to),
            deadline: request.deadline,
            at_most_once: request.http.as_ref().is_some_and(|http| http.at_most_once),
        };
        if origin.at_most_once && delivery.attempt > 1 {
            let reply = self.problem_in_time(&origin, delivery, UNKNOWN);
            return Err(dead_letter(reply, UNKNOWN.to_owned()));
        }
        if delivery.attempt > self.settings.max_deliveries {
            let reason = format!("given up after {} deliveries", delivery.attempt - 1);
            let reply =
                self.problem_in_time(&origin, delivery, "the work was tried too often without success");
            return Err(dead_letter(reply, reason));
        }
        Ok((request, origin))
    }

    async fn perform(
        &self,
        (request, origin): (Request, Origin),
        delivery: &LeasedEntry,
        execution: &Execution<Self>,
    ) -> Option<Conclusion> {
        let now_ms = self.clock.now_ms();
        let left = request.deadline.remaining_at(now_ms);
        if left.is_zero() {
            return Some(self.expired());
        }
        if left < execution.usual_work.get() {
            execution.usual_work.decay();
            self.metrics.expired.increment(1);
            let detail = "not started: too little time was left to do the work";
            let reply = Some(self.problem(&origin, delivery, 503, detail));
            return Some(Conclusion { reply, disposition: Disposition::Acknowledge });
        }
        let queued_ms = now_ms.saturating_sub(delivery.entry.id.ms);
        execution.metrics.queue.record(queued_ms as f64 / 1_000.0);
        let (id, entry, attempt) = (origin.id, delivery.entry.id, delivery.attempt);
        tracing::debug!(%id, %entry, attempt, left_ms = left.as_millis() as u64, "executing");
        let started = Instant::now();
        let time_left = left.min(self.settings.handler_timeout);
        let mut span = self.span_of(&request, delivery);
        let request = Request { trace: span.context().or(request.trace), ..request };
        let work = Work { request, attempt: delivery.attempt, time_left };
        let outcome = {
            // A handler may panic even before it returns its future.
            let handling = async { self.handler.handle(work).await };
            // Pinned here, because each layer around it would otherwise copy the whole future.
            let run = pin!(execution.watch(handling, started + time_left, delivery));
            span.around(run).await
        };
        record(&outcome, &mut span);
        drop(span);
        let spent = started.elapsed();
        execution.metrics.work.record(spent.as_secs_f64());
        self.conclude(outcome, spent, &origin, delivery, execution)
    }
}

impl<H: Handler> RequestJob<H> {
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

    fn conclude(
        &self,
        outcome: Outcome<Response>,
        spent: Duration,
        origin: &Origin,
        delivery: &LeasedEntry,
        execution: &Execution<Self>,
    ) -> Option<Conclusion> {
        let (reply, disposition) = match outcome {
            Outcome::Returned(Response {
                disposition: Disposition::HandBack | Disposition::RetryAfter(_),
                ..
            }) => {
                tracing::debug!(id = %origin.id, entry = %delivery.entry.id, "handed back");
                (None, Disposition::HandBack)
            }
            Outcome::Returned(response) if !response.is_sendable() => {
                let (status, bytes) = (response.status, response.body.len());
                tracing::error!(
                    id = %origin.id,
                    status,
                    bytes,
                    "the handler's response is no valid HTTP answer or is too large"
                );
                let detail = "the worker's response cannot be sent as an HTTP answer";
                (Some(self.problem(origin, delivery, 502, detail)), Disposition::Acknowledge)
            }
            Outcome::Returned(mut response) => {
                execution.usual_work.learn(spent);
                tracing::debug!(id = %origin.id, entry = %delivery.entry.id, status = response.status, "worked");
                let disposition = std::mem::replace(&mut response.disposition, Disposition::Acknowledge);
                (Some(self.outgoing(origin, delivery, response, spent)), disposition)
            }
            Outcome::Panicked => {
                tracing::error!(id = %origin.id, entry = %delivery.entry.id, "the handler panicked");
                let reply = self.problem(origin, delivery, 502, "the work failed");
                (Some(reply), Disposition::DeadLetter("the handler panicked".to_owned()))
            }
            Outcome::TimedOut if origin.deadline.has_passed(&*self.clock) => {
                return Some(self.expired());
            }
            Outcome::TimedOut => {
                tracing::warn!(id = %origin.id, limit_ms = spent.as_millis() as u64, "the handler took too long");
                let reply =
                    self.problem(origin, delivery, 502, "the work took longer than a worker may spend on it");
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
            // The work may be half done, and it must not be done again.
            Outcome::Abandoned if origin.at_most_once => {
                let reply = self.problem_in_time(origin, delivery, UNKNOWN);
                (reply, Disposition::DeadLetter(UNKNOWN.to_owned()))
            }
            Outcome::Abandoned => (None, Disposition::HandBack),
        };
        Some(Conclusion { reply, disposition })
    }

    /// The caller no longer waits: the entry is acknowledged without a reply.
    fn expired(&self) -> Conclusion {
        self.metrics.expired.increment(1);
        Conclusion::silent(Disposition::Acknowledge)
    }

    /// Makes the entry a dead letter. If it has a readable `id` and `reply_to`, its caller gets a 502.
    fn undecodable(&self, delivery: &LeasedEntry, deadline: Deadline, error: &str) -> Conclusion {
        let fields = &delivery.entry.fields;
        let id = fields.get("id").and_then(CorrelationId::from_bytes);
        let lane = fields.text("reply_to").filter(|lane| self.settings.reply_stream.is_or_has_lane(lane));
        let reply = id.zip(lane).and_then(|(id, lane)| {
            let origin = Origin { id, lane: lane.into(), deadline, at_most_once: false };
            self.problem_in_time(&origin, delivery, &format!("the request could not be read: {error}"))
        });
        dead_letter(reply, format!("undecodable: {error}"))
    }

    /// A 502 for an entry that is given up; `None` once its deadline has passed. The check avoids a late reply if
    /// giving up takes several tries.
    fn problem_in_time(
        &self,
        origin: &Origin,
        delivery: &LeasedEntry,
        detail: &str,
    ) -> Option<OutgoingReply> {
        (!origin.deadline.has_passed(&*self.clock)).then(|| self.problem(origin, delivery, 502, detail))
    }

    fn problem(&self, origin: &Origin, delivery: &LeasedEntry, status: u16, detail: &str) -> OutgoingReply {
        self.outgoing(origin, delivery, Response::problem(origin.id, status, detail), Duration::ZERO)
    }

    fn outgoing(
        &self,
        origin: &Origin,
        delivery: &LeasedEntry,
        response: Response,
        work: Duration,
    ) -> OutgoingReply {
        OutgoingReply {
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
                headers: response.headers,
            },
        }
    }
}

/// The parts of a request that its reply needs.
pub(super) struct Origin {
    id: CorrelationId,
    lane: Arc<str>,
    deadline: Deadline,
    /// Its work must not be done again.
    at_most_once: bool,
}

/// Of a request that must be done at most once, and whose worker was lost.
const UNKNOWN: &str = "unknown whether done: the worker was lost during the work, and the route allows one delivery; find out from the service whether it was done before you ask again";

fn dead_letter(reply: Option<OutgoingReply>, reason: String) -> Conclusion {
    Conclusion { reply, disposition: Disposition::DeadLetter(reason) }
}

/// What the span says of the outcome.
fn record(outcome: &Outcome<Response>, span: &mut Span) {
    match outcome {
        Outcome::Returned(response) => {
            let status = response.status;
            span.record(|| [KeyValue::new("streamgate.status", i64::from(status))]);
            if status >= 500 {
                span.fail(&status.to_string());
            }
        }
        Outcome::Panicked => span.fail("panic"),
        Outcome::TimedOut => span.fail("timeout"),
        Outcome::LeaseLost => span.fail("lease_lost"),
        Outcome::Abandoned => span.fail("abandoned"),
    }
}
