//! The proxy process: reads its settings, binds its port and works until a signal stops it.

use std::process::ExitCode;

use anyhow::Context;
use proxy::config::{Cli, Command, Settings};
use service::otlp::SpanExport;
use service::{config, http, logs, process, shutdown};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Cli { command, settings } = config::read();
    let _last_lines = logs::init_logs(settings.process.log_format, &settings.process.log_filter);
    process::log_panics();
    process::exit_code(match command {
        None => serve(settings),
        Some(Command::Healthcheck(args)) => args.run(settings.proxy_listen).context("not healthy"),
    })
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    // The only error is that a provider is installed already, and then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = http::listen(settings.proxy_listen, "PROXY_LISTEN")?;
    let spans = SpanExport::start(settings.tracing.settings("proxy")).context("spans cannot be sent")?;
    let runtime = process::runtime(settings.proxy_threads.into()).context("the runtime cannot start")?;
    runtime.block_on(async {
        let stop =
            shutdown::on_signal(settings.process.shutdown_grace.0).context("signals cannot be handled")?;
        Ok(proxy::run(settings, listener, spans.tracer(), stop).await?)
    })
}
