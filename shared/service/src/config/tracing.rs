use clap::{Args, ValueEnum};
use reqwest::Url;

use super::ConfigError;
use crate::otlp::{OtlpSettings, Sampling};

/// Where the spans of requests go. OpenTelemetry defines these variables.
///
/// Source: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Traces")]
pub struct TracingArgs {
    /// Collector that gets the spans of requests, OTLP over HTTP, such as http://collector:4318
    /// [default: none, no spans]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true, value_name = "URL", value_parser = endpoint)]
    pub otel_exporter_otlp_endpoint: Option<Url>,

    /// Name of this service in traces [default: the program's name]
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub otel_service_name: Option<String>,

    /// Which traces are recorded
    #[arg(long, env = "OTEL_TRACES_SAMPLER", default_value = "parentbased_always_on", value_enum)]
    pub otel_traces_sampler: SamplerName,

    /// Share of traces that samplers with a ratio record, 0 to 1
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 1.0, value_name = "RATIO", value_parser = share)]
    pub otel_traces_sampler_arg: f64,
}

/// The samplers of OpenTelemetry. A `parentbased` sampler follows the `traceparent` of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum SamplerName {
    /// Records every trace.
    AlwaysOn,
    /// Records no trace.
    AlwaysOff,
    /// Records a share of the traces.
    #[value(name = "traceidratio")]
    TraceIdRatio,
    /// Follows `traceparent`; records every request without one.
    #[value(name = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    /// Follows `traceparent`; records no request without one.
    #[value(name = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    /// Follows `traceparent`; records a share of the requests without one.
    #[value(name = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
}

impl TracingArgs {
    /// These arguments as settings of the span export of `program`; `None` without a collector.
    pub fn settings(&self, program: &str) -> Option<OtlpSettings> {
        let share = self.otel_traces_sampler_arg;
        Some(OtlpSettings {
            endpoint: self.otel_exporter_otlp_endpoint.clone()?,
            service: self.otel_service_name.clone().unwrap_or_else(|| program.to_owned()),
            sampler: match self.otel_traces_sampler {
                SamplerName::AlwaysOn => Sampling::Ratio(1.0),
                SamplerName::AlwaysOff => Sampling::Ratio(0.0),
                SamplerName::TraceIdRatio => Sampling::Ratio(share),
                SamplerName::ParentBasedAlwaysOn => Sampling::Parent(1.0),
                SamplerName::ParentBasedAlwaysOff => Sampling::Parent(0.0),
                SamplerName::ParentBasedTraceIdRatio => Sampling::Parent(share),
            },
        })
    }

    /// Rules that hold for every process.
    ///
    /// # Errors
    /// OTEL_SERVICE_NAME is empty.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match &self.otel_service_name {
            Some(name) if name.trim().is_empty() => {
                Err(ConfigError::rule("OTEL_SERVICE_NAME", name, "must not be empty"))
            }
            _ => Ok(()),
        }
    }
}

fn endpoint(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.filter(|url| url.port() != Some(0) && url.fragment().is_none());
    url.ok_or("must be an http:// or https:// URL such as http://collector:4318, without /v1/traces")
}

fn share(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or("must be a number from 0 to 1")
}
