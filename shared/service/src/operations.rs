//! What a worker of one's own needs to run as a process: a port with metrics and probes.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use streamgate::telemetry::Readiness;
use tokio_util::task::AbortOnDropHandle;

use crate::exporter::{MetricsRecorder, ProcessMetrics};
use crate::http::admin::{AdminThread, routes};
use crate::liveness::Liveness;

/// A port with `/metrics`, `/livez` and `/readyz`, served by a thread of its own.
///
/// ```no_run
/// # use streamgate::{connection::Redis, stream::{Group, RedisStream}, telemetry::Readiness, worker::Worker};
/// # async fn example(redis: Redis) -> Result<(), Box<dyn std::error::Error>> {
/// # let orders = RedisStream::new(&redis, "orders")?;
/// let readiness = Readiness::default();
/// let operations = service::operations::start("billing", env!("CARGO_PKG_VERSION"), "127.0.0.1:9000", &readiness)?;
/// let stop = service::shutdown::on_signal(std::time::Duration::from_secs(25))?;
/// Worker::new(&orders, Group::new("billing")).readiness(&readiness).handle(async |_| {}).run(stop).await?;
/// operations.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Operations {
    admin: AdminThread,
    address: SocketAddr,
    _ticking: AbortOnDropHandle<()>,
}

/// Starts the port at `listen`, and makes this process record its metrics: start it before the parts of the process
/// that have metrics. `name` and `version` are the program's, for `streamgate_build_info`.
///
/// # Errors
/// The address is not valid or in use, the process already records metrics elsewhere, or the system refuses a thread.
pub fn start(
    name: &'static str,
    version: &'static str,
    listen: &str,
    readiness: &Readiness,
) -> io::Result<Operations> {
    let listener = TcpListener::bind(listen)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}")))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let recorder = Arc::new(MetricsRecorder::default());
    let scrapes = recorder.handle();
    metrics::set_global_recorder(Arc::clone(&recorder)).map_err(io::Error::other)?;
    let liveness = Liveness::default();
    let ticking = liveness.tick();
    let process = ProcessMetrics::declare(recorder, name, version);
    let router = routes(scrapes, liveness.clone(), readiness.clone());
    let admin = AdminThread::start(listener, router, process, liveness)?;
    Ok(Operations { admin, address, _ticking: ticking })
}

impl Operations {
    /// Where it listens: with port 0, the system has chosen the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Finishes the requests under way and closes the port.
    pub async fn stop(self) {
        self.admin.stop().await;
    }
}
