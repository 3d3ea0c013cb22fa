//! The proxy process: reads its settings, binds its port, works until it is told to stop.

use std::process::ExitCode;

use anyhow::Context;
use proxy::config::Settings;
use streamgate::{config, http, shutdown, telemetry};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let settings: Settings = config::read();
    telemetry::init_logs(settings.process.log_format, &settings.process.log_filter);
    match serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    // An error means that one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = http::listen(settings.proxy_listen, "PROXY_LISTEN")?;
    let runtime = runtime(settings.proxy_threads.into()).context("the runtime cannot start")?;
    runtime.block_on(async {
        let stop = shutdown::on_signal().context("signals cannot be handled")?;
        Ok(proxy::run(settings, listener, stop).await?)
    })
}

/// One thread has no wake-ups across cores, which halve the latency of a lone request; more
/// threads do more work at once.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    }
}
