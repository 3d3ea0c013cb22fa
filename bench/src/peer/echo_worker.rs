//! The proxy with another work: the request's body is the answer. Everything else is the proxy that
//! ships, trimming and its settings (from the environment) included.

use anyhow::anyhow;
use proxy::config::Settings;
use service::config::{self, Refusal};
use service::{http, logs};
use streamgate::responder::{Handler, Response, Work};
use streamgate::telemetry::Tracer;
use tokio_util::sync::CancellationToken;

/// Answers with what it was asked.
#[derive(Debug, Clone, Copy)]
struct Echo;

impl Handler for Echo {
    async fn handle(&self, work: Work) -> Response {
        Response::json(work.request.body)
    }
}

/// Runs until `stop`.
///
/// # Errors
/// The settings cannot be used, or a part of the worker has ended.
pub async fn run(stop: CancellationToken) -> anyhow::Result<()> {
    let settings: Settings = config::from_args(["echo-worker"]).map_err(|refusal| match refusal {
        Refusal::Invalid(error) => error.into(),
        Refusal::Help(text) => anyhow!("{text}"),
    })?;
    let _last_lines = logs::init_logs(settings.process.log_format, &settings.process.log_filter);
    let listener = http::listen(settings.proxy_listen, "PROXY_LISTEN")?;
    Ok(proxy::run_with(settings, listener, Tracer::default(), stop, |_| Echo).await?)
}
