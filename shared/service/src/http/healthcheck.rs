use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::config::{ConfigError, HumanDuration};

/// The longest answer that is read. The answer of a probe is one line.
const LONGEST_ANSWER: u64 = 64 << 10;

/// The `healthcheck` command of a binary. It asks the process that runs with the same settings whether
/// it is healthy, so that an image needs neither a shell nor curl.
#[derive(Debug, Clone, clap::Args)]
pub struct HealthcheckArgs {
    /// Ask whether the process is ready for work (/readyz; this needs Redis), not only whether it is alive (/livez)
    #[arg(long)]
    ready: bool,

    /// Longest wait for the answer, a duration
    #[arg(long, default_value = "2s", value_name = "DURATION")]
    timeout: HumanDuration,
}

/// Why a process is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// No answer came.
    #[error(
        "http://{address}{path} does not answer: {reason}; check that the process runs and has the same settings"
    )]
    Silent {
        /// The address that was asked.
        address: SocketAddr,
        /// The path that was asked for.
        path: &'static str,
        /// The reason is part of the message, so it is not the source of the error as well.
        reason: io::Error,
    },
    /// The process answered that it is not healthy.
    #[error("{0}")]
    Refused(String),
}

impl HealthcheckArgs {
    /// Checks the rules of the command.
    ///
    /// # Errors
    /// The time limit is zero.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.timeout.0.is_zero() {
            return Err(ConfigError::rule("--timeout", self.timeout, "must be longer than 0"));
        }
        Ok(())
    }

    /// Asks the process whose admin listener is at `listener`.
    ///
    /// # Errors
    /// See [`Unhealthy`].
    pub fn run(&self, listener: SocketAddr) -> Result<(), Unhealthy> {
        let (address, path) = (reachable(listener), if self.ready { "/readyz" } else { "/livez" });
        let answer = ask(address, path, self.timeout.0).map_err(|reason| Unhealthy::Silent {
            address,
            path,
            reason,
        })?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.lines().next().unwrap_or_default();
        match status.split(' ').nth(1) {
            Some("200") => Ok(()),
            _ if !body.trim().is_empty() => Err(Unhealthy::Refused(body.trim().to_owned())),
            _ => Err(Unhealthy::Refused(format!("{path} was answered with {status:?}"))),
        }
    }
}

/// The address to connect to on this machine for a process that listens on `listener`. A process that
/// listens on all addresses is reached at the loopback address.
fn reachable(mut listener: SocketAddr) -> SocketAddr {
    if listener.ip().is_unspecified() {
        listener.set_ip(match listener.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listener
}

/// Asks with HTTP/1.0, where the server closes the connection at the end of the answer.
fn ask(address: SocketAddr, path: &str, timeout: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use super::*;
    use crate::exporter::{MetricsRecorder, ProcessMetrics};
    use crate::http::admin::{AdminThread, routes};
    use crate::http::listen;
    use crate::liveness::Liveness;
    use streamgate::telemetry::Readiness;

    fn asking(ready: bool) -> HealthcheckArgs {
        HealthcheckArgs { ready, timeout: HumanDuration(Duration::from_secs(10)) }
    }

    /// An admin thread as in ingress and proxy, on all addresses of this machine.
    fn process(readiness: &Readiness) -> (AdminThread, SocketAddr) {
        let listener = listen(([0, 0, 0, 0], 0).into(), "X").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let recorder = MetricsRecorder::default();
        let liveness = Liveness::default();
        let routes = routes(recorder.handle(), liveness.clone(), readiness.clone());
        let process = ProcessMetrics::declare(Arc::new(recorder), "test", "0");
        (AdminThread::start(listener, routes, process, liveness).expect("starts"), address)
    }

    #[test]
    fn a_process_that_waits_for_redis_lives_but_is_not_ready() {
        let readiness = Readiness::default();
        let redis = readiness.latch("redis");
        let (_admin, address) = process(&readiness);

        let (alive, before) = (asking(false).run(address), asking(true).run(address));
        redis.set(true);
        let after = asking(true).run(address);

        assert!(alive.is_ok(), "{alive:?}");
        assert_eq!(before.expect_err("not ready").to_string(), "not ready: redis");
        assert!(after.is_ok(), "{after:?}");
    }

    #[test]
    fn an_error_without_an_answer_names_the_address() {
        let closed = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");

        let error = asking(false).run(closed).expect_err("no answer").to_string();

        assert!(error.starts_with(&format!("http://{closed}/livez does not answer: ")), "{error}");
    }

    #[test]
    fn a_process_that_never_answers_costs_only_the_timeout() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let args = HealthcheckArgs { ready: false, timeout: HumanDuration(Duration::from_millis(50)) };

        let answer = args.run(silent.local_addr().expect("bound"));

        assert!(matches!(answer, Err(Unhealthy::Silent { .. })), "{answer:?}");
    }

    #[test]
    fn a_process_on_all_addresses_is_asked_at_the_loopback() {
        for (listener, asked) in [
            ("0.0.0.0:9009", "127.0.0.1:9009"),
            ("[::]:9009", "[::1]:9009"),
            ("10.1.2.3:9009", "10.1.2.3:9009"),
        ] {
            assert_eq!(reachable(listener.parse().expect("valid")).to_string(), asked);
        }
    }
}
