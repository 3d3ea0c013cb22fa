//! Sends spans to a collector: OTLP over HTTP, binary protobuf, in batches, from a separate thread.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.

use std::time::Duration;

use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use reqwest::Url;

use streamgate::telemetry::Tracer;

/// How long an ending process waits until the collector has accepted its last spans.
const LAST_SPANS: Duration = Duration::from_millis(500);

/// Which spans are sent, and where.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    /// The collector; `/v1/traces` is appended.
    pub endpoint: Url,
    /// `service.name`, as the collector shows it.
    pub service: String,
    /// Which traces are recorded.
    pub sampler: Sampling,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// The traces that the caller records. If the caller says nothing, this share of traces, 0 to 1.
    Parent(f64),
    /// This share of traces, 0 to 1, also if the caller records another share.
    Ratio(f64),
}

/// A running export of spans. When dropped, it sends the remaining spans and ends. It must not be
/// dropped on an async runtime: dropping blocks the thread for a moment.
#[derive(Debug, Default)]
pub struct SpanExport(Option<SdkTracerProvider>);

impl SpanExport {
    /// Starts the export; with `None` it exports nothing. If the collector does not answer, spans are
    /// lost and the log says so, but requests are served.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub fn start(settings: Option<OtlpSettings>) -> Result<Self, ExporterBuildError> {
        let Some(settings) = settings else { return Ok(Self::default()) };
        let exporter =
            SpanExporter::builder().with_http().with_endpoint(traces(settings.endpoint)).build()?;
        let provider = SdkTracerProvider::builder()
            .with_resource(Resource::builder().with_service_name(settings.service).build())
            .with_sampler(Sampler::from(settings.sampler))
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(Some(provider)))
    }

    /// A tracer whose spans are exported. It is off if there is no export.
    pub fn tracer(&self) -> Tracer {
        self.0
            .as_ref()
            .map(|provider| Tracer::new(BoxedTracer::new(Box::new(provider.tracer("streamgate")))))
            .unwrap_or_default()
    }
}

impl Drop for SpanExport {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(|spans| spans.shutdown_with_timeout(LAST_SPANS)) {
            tracing::warn!(%error, "the last spans may not have reached the collector");
        }
    }
}

impl From<Sampling> for Sampler {
    fn from(sampling: Sampling) -> Self {
        match sampling {
            Sampling::Parent(share) => Self::ParentBased(Box::new(Self::TraceIdRatioBased(share))),
            Sampling::Ratio(share) => Self::TraceIdRatioBased(share),
        }
    }
}

/// The URL that accepts spans: the collector's URL followed by `/v1/traces`.
fn traces(mut endpoint: Url) -> String {
    let path = format!("{}/v1/traces", endpoint.path().trim_end_matches('/'));
    endpoint.set_path(&path);
    endpoint.into()
}
