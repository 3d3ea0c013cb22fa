//! A process whose main runtime is blocked: `/livez` fails, and a signal still ends the process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use service::exporter::{MetricsRecorder, ProcessMetrics};
use service::http::admin::{AdminThread, routes};
use service::http::listen;
use service::liveness::Liveness;
use service::logs::{LogFormat, init_logs, print_error};
use service::shutdown::{self, IMPATIENT_EXIT, OVERDUE_EXIT};
use streamgate::telemetry::Readiness;
use streamgate::testing::eventually;

/// The variable that gives [`hung_process`] its shutdown grace, in seconds.
const GRACE: &str = "STREAMGATE_TEST_HUNG_PROCESS_GRACE";

/// Not a test. The other tests start this binary with [`GRACE`] to get a process with an admin thread
/// and a blocked main runtime.
#[test]
#[ignore = "the process that the other tests here start"]
fn hung_process() {
    let Ok(grace) = std::env::var(GRACE) else { return };
    let grace = Duration::from_secs(grace.parse().expect("seconds"));
    let _last_lines = init_logs(LogFormat::Json, &"info".parse().expect("a filter"));
    let runtime = service::process::runtime(1).expect("a runtime");
    runtime.block_on(async {
        let _stop = shutdown::on_signal(grace).expect("signals");
        let listener = listen(([127, 0, 0, 1], 0).into(), "X").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let recorder = MetricsRecorder::default();
        let liveness = Liveness::default();
        let _ticking = liveness.tick();
        let routes = routes(recorder.handle(), liveness.clone(), Readiness::default());
        let metrics = ProcessMetrics::declare(Arc::new(recorder), "test", "0");
        let _admin = AdminThread::start(listener, routes, metrics, liveness).expect("starts");
        print_error(format!("address {address}"));
        loop {
            std::thread::park();
        }
    });
}

struct Hung {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    address: String,
}

impl Hung {
    fn start(grace: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["hung::hung_process", "--exact", "--ignored", "--nocapture"])
            .env(GRACE, grace)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("text");
        let address = line.trim().strip_prefix("address ").expect("an address").to_owned();
        Self { child, stderr, address }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("sent");
    }

    /// The first line of the answer at `/livez`.
    fn livez(&self) -> String {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&self.address).expect("accepted");
        stream.write_all(b"GET /livez HTTP/1.0\r\n\r\n").expect("written");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        text.lines().next().unwrap_or_default().to_owned()
    }

    fn exit(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process ends", || {
            status = self.child.try_wait().expect("its state is known");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// Reads the log until a line contains `text`.
    fn wait_for_log(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.stderr.read_line(&mut line).expect("text"), 0, "the log has no {text:?}");
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn livez_fails_while_the_main_runtime_is_blocked() {
    let process = Hung::start("30");
    let began = Instant::now();
    let first = process.livez();

    eventually("the probe fails", || process.livez().ends_with("503 Service Unavailable"));

    assert!(first.ends_with("200 OK"), "{first}");
    assert!(began.elapsed() > Duration::from_secs(3), "too early: a busy process is not a hung process");
}

#[test]
fn a_process_that_was_paused_is_still_alive() {
    let process = Hung::start("30");
    process.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    eventually("the pause is over", || stopped.elapsed() > Duration::from_secs(6));

    process.signal(Signal::SIGCONT);

    assert!(process.livez().ends_with("200 OK"), "the runtime had no time to tick");
}

#[test]
fn a_second_signal_ends_a_blocked_process_at_once() {
    let mut process = Hung::start("600");

    process.signal(Signal::SIGTERM);
    process.wait_for_log("shutting down");
    process.signal(Signal::SIGTERM);

    assert_eq!(process.exit().code(), Some(IMPATIENT_EXIT));
    process.wait_for_log("second signal");
}

#[test]
fn a_blocked_process_ends_soon_after_its_grace() {
    let mut process = Hung::start("1");
    let signalled = Instant::now();

    process.signal(Signal::SIGINT);

    assert_eq!(process.exit().code(), Some(OVERDUE_EXIT));
    assert!(signalled.elapsed() > Duration::from_secs(1), "the process ended before its grace was over");
    process.wait_for_log("did not end within SHUTDOWN_GRACE");
}
