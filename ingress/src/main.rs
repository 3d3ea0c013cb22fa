//! The ingress process: reads its settings, binds its ports, and runs until a signal stops it.

use std::process::ExitCode;

use anyhow::Context;
use ingress::commands::RoutesCommand;
use ingress::config::{Cli, Command, Settings};
use ingress::listeners::Listeners;
use service::otlp::SpanExport;
use service::{config, logs, process, shutdown};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Cli { command, settings } = config::read();
    let _last_lines = logs::init_logs(settings.process.log_format, &settings.process.log_filter);
    process::log_panics();
    process::exit_code(match command {
        None => serve(settings),
        Some(Command::NewKey(args)) => {
            args.run(std::io::stdout(), std::io::stderr()).context("no key was made")
        }
        Some(Command::Healthcheck(args)) => args.run(settings.ingress_admin_listen).context("not healthy"),
        Some(Command::Routes(command)) => return about_routes(&command, settings.api_keys_file.is_some()),
    })
}

/// Runs a command about a routes file: 1 if the file has faults. A fault has its own line, as compilers print them.
fn about_routes(command: &RoutesCommand, keys: bool) -> ExitCode {
    match command.run(std::io::stdout().lock(), keys) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    // An error means that a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listeners = Listeners::bind(&settings)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        api = %listeners.public.local_addr()?,
        admin = %listeners.admin.local_addr()?,
        requests = %settings.streams.request_stream,
        replies = %settings.streams.reply_stream,
        replica = settings.ingress_replica.as_deref(),
        "listening"
    );
    let spans = SpanExport::start(settings.tracing.settings("ingress")).context("spans cannot be sent")?;
    let runtime = process::runtime(settings.ingress_threads).context("the runtime cannot start")?;
    runtime.block_on(async {
        let stop =
            shutdown::on_signal(settings.process.shutdown_grace.0).context("signals cannot be handled")?;
        Ok(ingress::run(settings, listeners, spans.tracer(), stop).await?)
    })
}
