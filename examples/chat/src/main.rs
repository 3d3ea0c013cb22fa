//! The chat process: reads its settings, binds its port, and runs until a signal stops it.

use std::process::ExitCode;

use anyhow::Context;
use chat::config::Settings;
use service::{config, http, logs, process, shutdown};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let settings: Settings = config::read();
    let _last_lines = logs::init_logs(settings.process.log_format, &settings.process.log_filter);
    process::log_panics();
    process::exit_code(serve(settings))
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    // An error means that a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = http::listen(settings.chat_listen, "CHAT_LISTEN")?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = %listener.local_addr()?,
        redis = %settings.redis.redis_url,
        stream = %settings.chat_stream,
        "listening"
    );
    process::runtime(settings.chat_threads).context("the runtime cannot start")?.block_on(async {
        let stop =
            shutdown::on_signal(settings.process.shutdown_grace.0).context("signals cannot be handled")?;
        Ok(chat::run(settings, listener, stop).await?)
    })
}
