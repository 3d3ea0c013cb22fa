//! Spans of distributed traces, as OpenTelemetry defines them. The default [`Tracer`] is off: its spans are null
//! pointers and cost nothing. The crate `service` makes tracers that export their spans.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use futures_util::future::Either;
use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    FutureExt, Span as _, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer as _,
};
use opentelemetry::{Context, KeyValue};

use crate::envelope::TraceContext;

pub use opentelemetry::trace::SpanKind;

/// Starts spans. The default is off.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<BoxedTracer>>);

impl Tracer {
    /// A tracer that exports its spans through `tracer`.
    pub fn new(tracer: BoxedTracer) -> Self {
        Self(Some(Arc::new(tracer)))
    }

    /// True if spans are exported.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Starts a span below `parent`; without a parent, the span starts a new trace. `name` is called only if the
    /// tracer is on.
    pub fn start<N>(&self, kind: SpanKind, parent: Option<TraceContext>, name: impl FnOnce() -> N) -> Span
    where
        N: Into<Cow<'static, str>>,
    {
        let Some(tracer) = &self.0 else { return Span::default() };
        let context = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent.into()),
            None => Context::new(),
        };
        Self::start_below(tracer, kind, &context, name().into())
    }

    /// Starts a span below the current span: the one whose [`Span::around`] runs this code.
    pub fn start_here<N>(&self, kind: SpanKind, name: impl FnOnce() -> N) -> Span
    where
        N: Into<Cow<'static, str>>,
    {
        let Some(tracer) = &self.0 else { return Span::default() };
        Self::start_below(tracer, kind, &Context::current(), name().into())
    }

    fn start_below(tracer: &BoxedTracer, kind: SpanKind, parent: &Context, name: Cow<'static, str>) -> Span {
        let span = tracer.build_with_context(tracer.span_builder(name).with_kind(kind), parent);
        Span(Some(Box::new(span)))
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&if self.is_on() { "on" } else { "off" }).finish()
    }
}

/// One step of a trace; it ends when it is dropped. It is boxed because every request carries the field, and most
/// requests are not traced.
#[derive(Debug, Default)]
pub struct Span(Option<Box<BoxedSpan>>);

impl Span {
    /// The context that child spans name as their parent; `None` if the tracer is off.
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|span| span.span_context().into())
    }

    /// Adds attributes to the span. `attributes` is called only if the span is recorded.
    pub fn record<A>(&mut self, attributes: impl FnOnce() -> A)
    where
        A: IntoIterator<Item = KeyValue>,
    {
        if let Some(span) = self.0.as_mut().filter(|span| span.is_recording()) {
            span.set_attributes(attributes());
        }
    }

    /// Marks the step as failed. `error_type` has few possible values, as the attribute `error.type` requires.
    pub fn fail(&mut self, error_type: &str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", error_type.to_owned()));
            span.set_status(Status::error(error_type.to_owned()));
        }
    }

    /// Runs `future` as part of this step: [`Tracer::start_here`] in it starts spans below this one.
    pub fn around<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        match &self.0 {
            Some(span) => {
                let context = Context::new().with_remote_span_context(span.span_context().clone());
                Either::Left(future.with_context(context))
            }
            None => Either::Right(future),
        }
    }
}

impl From<&SpanContext> for TraceContext {
    fn from(span: &SpanContext) -> Self {
        Self {
            trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
            parent_id: u64::from_be_bytes(span.span_id().to_bytes()),
            flags: span.trace_flags().to_u8(),
        }
    }
}

impl From<TraceContext> for SpanContext {
    fn from(context: TraceContext) -> Self {
        Self::new(
            TraceId::from_bytes(context.trace_id.to_be_bytes()),
            SpanId::from_bytes(context.parent_id.to_be_bytes()),
            TraceFlags::new(context.flags),
            true,
            TraceState::NONE,
        )
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    fn tracer() -> Tracer {
        Tracer::new(BoxedTracer::new(Box::new(SdkTracerProvider::builder().build().tracer("test"))))
    }

    fn caller() -> TraceContext {
        TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").expect("valid")
    }

    #[test]
    fn a_tracer_that_is_off_calls_no_closure_and_has_no_context() {
        let mut span =
            Tracer::default().start(SpanKind::Server, Some(caller()), || -> &str { panic!("called") });

        span.record(|| -> [KeyValue; 0] { panic!("called") });

        assert_eq!(span.context(), None);
    }

    #[tokio::test]
    async fn nested_spans_belong_to_the_callers_trace() {
        let tracer = tracer();

        let span = tracer.start(SpanKind::Server, Some(caller()), || "outer");
        let inner = span.around(async { tracer.start_here(SpanKind::Client, || "inner").context() }).await;

        let (outer, inner) = (span.context().expect("on"), inner.expect("on"));
        assert_eq!((outer.trace_id, inner.trace_id), (caller().trace_id, caller().trace_id));
        assert_ne!(outer.parent_id, caller().parent_id);
        assert_ne!(inner.parent_id, outer.parent_id);
    }

    #[test]
    fn a_span_of_an_unsampled_trace_is_not_recorded() {
        let tracer = tracer();
        let unsampled = TraceContext { flags: 0, ..caller() };

        let mut span = tracer.start(SpanKind::Server, Some(unsampled), || "outer");
        span.record(|| -> [KeyValue; 0] { panic!("called") });

        assert_eq!(span.context().map(|context| context.flags), Some(0));
    }
}
