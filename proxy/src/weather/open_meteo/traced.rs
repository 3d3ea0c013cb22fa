use opentelemetry::KeyValue;
use reqwest::{StatusCode, Url};
use streamgate::telemetry::{Span, SpanKind, Tracer};

use super::failure::Failure;

/// One try as a step of the trace of the request that it is made for.
pub(super) struct Traced(Span);

impl Traced {
    /// The step begins. Of `url` only host and path are told: the query may hold a key.
    pub(super) fn start(tracer: &Tracer, url: &Url) -> Self {
        let mut span = tracer.start_here(SpanKind::Client, || "GET");
        span.record(|| {
            [
                KeyValue::new("http.request.method", "GET"),
                KeyValue::new("server.address", url.host_str().unwrap_or_default().to_owned()),
                KeyValue::new("server.port", i64::from(url.port_or_known_default().unwrap_or_default())),
                KeyValue::new("url.scheme", url.scheme().to_owned()),
                KeyValue::new("url.path", url.path().to_owned()),
            ]
        });
        Self(span)
    }

    /// What the service is told of the trace, if there is one (W3C Trace Context).
    pub(super) fn traceparent(&self) -> Option<String> {
        self.0.context().map(|context| context.to_string())
    }

    /// The head of an answer came.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.0.record(|| [KeyValue::new("http.response.status_code", i64::from(status.as_u16()))]);
    }

    /// The try is over.
    pub(super) fn ended<T>(mut self, result: &Result<T, Failure>) {
        if let Err(failure) = result {
            self.0.fail(match failure {
                Failure::Transient { .. } => "failed",
                Failure::Limited { .. } => "rate_limited",
                Failure::TooSlow => "timeout",
                Failure::Refused { .. } => "refused",
                Failure::Nonsense { .. } => "bad_answer",
            });
        }
    }
}
