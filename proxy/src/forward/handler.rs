use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use routes::Route;
use streamgate::envelope::{CorrelationId, is_media_type};
use streamgate::resilience::Backoff;
use streamgate::responder::{Response, Work};
use streamgate::telemetry::{Span, SpanKind};
use tokio::time::{Instant, sleep, timeout_at};
use tower::retry::budget::Budget;

use super::attempt::{self, Answered, Outcome};
use super::decision::{Decision, Rules, decide, is_failure};
use super::outgoing::Outgoing;
use super::upstream::UpstreamState;

/// Time that the reply needs to be in time, after the last try.
const RESERVE: Duration = Duration::from_millis(50);

/// The wait before the second try; each further one doubles it.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Media type of an answer that names none (RFC 9110, 8.3).
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Sends the request to `upstream`, again if that is safe, and makes a reply of the answer. It is given back to its
/// stream if the breaker is open, or if nothing was sent and there is no retry budget.
pub async fn forward(work: Work, route: Option<&Route>, upstream: &Arc<UpstreamState>) -> Response {
    let Work { request, attempt, time_left } = work;
    let deadline = Instant::now() + time_left.saturating_sub(RESERVE);
    let _held = upstream.held.take_over();
    let outgoing = match Outgoing::new(&request, route, &upstream.config) {
        Ok(outgoing) => outgoing,
        Err(detail) => return Response::problem(request.id, 400, detail),
    };
    let at_most_once = request.http.as_ref().is_some_and(|head| head.at_most_once);
    let mut exchange = Exchange { id: request.id, upstream, outgoing, deadline, tries: attempt };
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    upstream.budget.deposit();
    loop {
        let outcome = match exchange.try_once(request.trace).await {
            Try::Made(outcome) => outcome,
            Try::Refused => return hand_back(upstream),
            Try::NoTime => {
                return Response::problem(request.id, 504, "no time was left to ask the upstream");
            }
        };
        let rules = Rules {
            repeatable: upstream.is_repeatable(),
            at_most_once,
            left: deadline.saturating_duration_since(Instant::now()),
            backoff: backoff.next_delay(),
        };
        let decision = match decide(outcome, &rules) {
            Decision::Again { budgeted: true, otherwise, .. } if !upstream.budget.withdraw() => *otherwise,
            decision => decision,
        };
        match decision {
            Decision::Again { wait, .. } => {
                upstream.metrics.retries.increment(1);
                sleep(wait).await;
            }
            decision => return respond(decision, request.id, upstream),
        }
    }
}

fn hand_back(upstream: &UpstreamState) -> Response {
    upstream.metrics.handed_back.increment(1);
    Response::hand_back()
}

fn respond(decision: Decision, id: CorrelationId, upstream: &UpstreamState) -> Response {
    match decision {
        Decision::Reply(answer) => reply(answer),
        Decision::ReplyLater(answer, wait) => {
            let mut response = reply(answer).retry_after(wait);
            response.headers.retain(|(name, _)| name != "retry-after");
            response
        }
        Decision::Problem(status, detail) => {
            tracing::warn!(%id, upstream = upstream.config.name, status, detail, "the upstream gave no usable answer");
            Response::problem(id, status, detail)
        }
        Decision::HandBack | Decision::Again { .. } => hand_back(upstream),
    }
}

fn reply(answer: Answered) -> Response {
    let content_type = answer.content_type.filter(|text| is_media_type(text.as_bytes()));
    let content_type = content_type.map_or(Cow::Borrowed(UNKNOWN_TYPE), Cow::Owned);
    Response { headers: answer.headers, ..Response::new(answer.status, content_type, answer.body) }
}

/// One delivery of a request, and its tries.
struct Exchange<'a> {
    id: CorrelationId,
    upstream: &'a Arc<UpstreamState>,
    outgoing: Outgoing,
    deadline: Instant,
    /// The number of the next try, counted from 1 over all deliveries that count.
    tries: u32,
}

enum Try {
    Made(Outcome),
    /// The breaker is open.
    Refused,
    /// The deadline is too close.
    NoTime,
}

impl Exchange<'_> {
    async fn try_once(&mut self, trace: Option<streamgate::envelope::TraceContext>) -> Try {
        let upstream = self.upstream;
        let Ok(Ok(_sending)) = timeout_at(self.deadline, upstream.sending.acquire()).await else {
            return Try::NoTime;
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Try::NoTime;
        }
        let Ok(judged) = upstream.breaker.try_pass() else { return Try::Refused };
        let config = &upstream.config;
        let whole = config.connect.saturating_add(config.timeout);
        let bound = whole.min(left);
        let mut span = self.span(trace);
        let headers = self.outgoing.headers(self.tries, left, span.context().or(trace));
        self.tries = self.tries.saturating_add(1);
        let started = Instant::now();
        let outcome =
            attempt::send(&upstream.client, &self.outgoing, headers, config.reply_body_limit, bound).await;
        upstream.metrics.duration.record(started.elapsed());
        let failed = is_failure(&outcome);
        if failed {
            upstream.resolver.rotate();
            tracing::debug!(id = %self.id, upstream = config.name, ?outcome, "a try failed");
        }
        // A try with less than its full time that got no answer says nothing about the upstream.
        let was_cut_short =
            matches!(outcome, Outcome::NoAnswer(_)) && started.elapsed() >= left && left < whole;
        if !was_cut_short {
            judged.ended(failed);
        }
        record(&outcome, &mut span);
        self.count(&outcome);
        Try::Made(outcome)
    }

    /// The span of one try. It has no query, which may hold a caller's secret.
    fn span(&self, trace: Option<streamgate::envelope::TraceContext>) -> Span {
        let Outgoing { method, url, .. } = &self.outgoing;
        let mut span = self.upstream.tracer.start(SpanKind::Client, trace, || method.to_string());
        span.record(|| {
            [
                KeyValue::new("http.request.method", method.to_string()),
                KeyValue::new("server.address", url.host_str().unwrap_or_default().to_owned()),
                KeyValue::new("server.port", i64::from(url.port_or_known_default().unwrap_or_default())),
                KeyValue::new("url.scheme", url.scheme().to_owned()),
                KeyValue::new("url.path", url.path().to_owned()),
            ]
        });
        span
    }

    fn count(&self, outcome: &Outcome) {
        let metrics = &self.upstream.metrics;
        let counter = match outcome {
            Outcome::Answered(answer) if answer.status < 500 => &metrics.answered,
            Outcome::Answered(_) => &metrics.failed,
            Outcome::TooLarge => &metrics.too_large,
            Outcome::Unreachable(_) => &metrics.unreachable,
            Outcome::NoAnswer(_) => &metrics.no_answer,
        };
        counter.increment(1);
    }
}

fn record(outcome: &Outcome, span: &mut Span) {
    match outcome {
        Outcome::Answered(answer) => {
            let status = answer.status;
            span.record(|| [KeyValue::new("http.response.status_code", i64::from(status))]);
            if status >= 500 {
                span.fail(&status.to_string());
            }
        }
        Outcome::TooLarge => span.fail("too_large"),
        Outcome::Unreachable(_) => span.fail("unreachable"),
        Outcome::NoAnswer(_) => span.fail("no_answer"),
    }
}
