use opentelemetry::KeyValue;
use reqwest::{StatusCode, Url};
use streamgate::telemetry::{Span, SpanKind, Tracer};

use super::failure::Failure;

/// The span of one try, in the trace of the request that caused the try.
pub(super) struct Traced(Span);

impl Traced {
    /// Starts the span. It names only host and path of `url`, since the query may hold an API key.
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

    /// The `traceparent` header for the service (W3C Trace Context), if there is a trace.
    pub(super) fn traceparent(&self) -> Option<String> {
        self.0.context().map(|context| context.to_string())
    }

    /// Records the status of the answer.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.0.record(|| [KeyValue::new("http.response.status_code", i64::from(status.as_u16()))]);
    }

    /// Ends the span with the result of the try.
    pub(super) fn ended<T>(mut self, result: &Result<T, Failure>) {
        if let Err(failure) = result {
            self.0.fail(match failure {
                Failure::Transient { .. } => "failed",
                Failure::Limited { .. } => "rate_limited",
                Failure::TooSlow => "timeout",
                Failure::Refused { .. } => "refused",
                Failure::BadAnswer { .. } => "bad_answer",
            });
        }
    }
}
