//! The proxy with two places that break it: `Poison Panic` panics in the handler, `Poison Abort`
//! ends the process as a crash would. Everything else is the proxy that ships.

use std::process::ExitCode;

use ::weather::WeatherRequest;
use anyhow::Context;
use proxy::config::Settings;
use service::{config, http, logs, process, shutdown};
use streamgate::responder::{Handler, Response, Work};
use streamgate::telemetry::Tracer;

/// Work that breaks for two places.
struct Poisoned<H>(H);

impl<H: Handler> Handler for Poisoned<H> {
    async fn handle(&self, work: Work) -> Response {
        let place = WeatherRequest::parse(&work.request.body);
        match place.as_ref().map(|place| place.city.as_str()) {
            Ok(chaos::POISON_PANIC) => panic!("{}", chaos::PLANTED_PANIC),
            Ok(chaos::POISON_ABORT) => std::process::abort(),
            _ => self.0.handle(work).await,
        }
    }
}

fn main() -> ExitCode {
    let settings: Settings = config::read();
    let _last_lines = logs::init_logs(settings.process.log_format, &settings.process.log_filter);
    process::log_panics();
    process::exit_code(serve(settings))
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    let listener = http::listen(settings.proxy_listen, "PROXY_LISTEN")?;
    let runtime = process::runtime(settings.proxy_threads.into()).context("the runtime cannot start")?;
    runtime.block_on(async {
        let stop =
            shutdown::on_signal(settings.process.shutdown_grace.0).context("signals cannot be handled")?;
        Ok(proxy::run_with(settings, listener, Tracer::default(), stop, Poisoned).await?)
    })
}
