//! What makes a producer or a consumer a process: connection, metrics, probes, traces, logs, signals.

use std::io::Read;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, raise};
use service::otlp::SpanExport;
use service::{logs, operations, process, shutdown};
use streamgate::connection::Redis;
use streamgate::telemetry::{Readiness, Tracer};
use tokio_util::sync::CancellationToken;

use crate::message::{EventCodec, Events};
use crate::settings::{FlowArgs, ServiceArgs};

/// What a running part has.
#[derive(Clone)]
pub struct Flow {
    /// The stream of messages.
    pub events: Events,
    /// Starts spans; off without a collector.
    pub tracer: Tracer,
    /// What `/readyz` tells.
    pub readiness: Readiness,
    /// Cancelled when the part is to end.
    pub stop: CancellationToken,
    /// The longest time from then until it has ended.
    pub drain: Duration,
}

/// Runs a part as the process `program` until a signal stops it; the exit code is 1 if it could not run, or lost
/// something.
pub fn serve(
    program: &'static str,
    flow: &FlowArgs,
    args: &ServiceArgs,
    run: impl FnOnce(Flow) -> Pin<Box<dyn Future<Output = anyhow::Result<()>>>>,
) -> ExitCode {
    let _last_lines = logs::init_logs(args.process.log_format, &args.process.log_filter);
    process::log_panics();
    let serve = || {
        // An error means that a provider is installed already, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let spans = SpanExport::start(args.tracing.settings(program)).context("spans cannot be sent")?;
        let runtime = process::runtime(1).context("the runtime cannot start")?;
        runtime.block_on(async {
            let stop = shutdown::on_signal(args.process.shutdown_grace.0).context("no signal handlers")?;
            if args.ends_with_stdin {
                stop_with_stdin();
            }
            let (readiness, version) = (Readiness::default(), env!("CARGO_PKG_VERSION"));
            let operations = operations::start(program, version, &args.listen.to_string(), &readiness)?;
            let redis = Redis::builder().url(&flow.url()?).readiness(readiness.latch("redis")).open()?;
            let events = Events::with_codec(&redis, flow.stream.as_str(), EventCodec)?;
            let (address, group) = (operations.address(), &flow.group);
            tracing::info!(operations = %address, stream = %flow.stream, group, program, "starting");
            let drain = args.process.drain();
            run(Flow { events, tracer: spans.tracer(), readiness, stop, drain }).await?;
            operations.stop().await;
            tracing::info!("stopped");
            Ok::<_, anyhow::Error>(())
        })
    };
    process::exit_code(serve())
}

/// When standard input ends, this process gets SIGTERM.
fn stop_with_stdin() {
    std::thread::spawn(|| {
        let mut input = std::io::stdin().lock();
        while matches!(input.read(&mut [0; 64]), Ok(1..)) {}
        // A signal to oneself does not fail.
        let _ = raise(Signal::SIGTERM);
    });
}
