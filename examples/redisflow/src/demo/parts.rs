use std::io;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use service::config::HumanDuration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use super::News;
use super::view::PartRow;
use crate::settings::DemoArgs;

/// The producers and consumers of the demo, each a process.
pub(super) struct Parts {
    parts: Vec<Part>,
    tell: mpsc::Sender<News>,
}

struct Part {
    row: PartRow,
    command: Command,
    /// The process, and what ends it when it is closed, also if the demo is killed.
    running: Option<(Child, Option<ChildStdin>)>,
}

/// SHUTDOWN_GRACE of the parts.
const GRACE: Duration = Duration::from_secs(5);

impl Parts {
    /// Starts what `args` describe, or nothing. Their lines become [`News::Line`].
    pub(super) fn start(args: Option<&DemoArgs>, tell: mpsc::Sender<News>) -> anyhow::Result<Self> {
        let mut parts = Vec::new();
        if let Some(args) = args {
            parts.push(Part::new(args, "consumer", "consumer-1", ("--work", args.work))?);
            parts.push(Part::new(args, "consumer", "consumer-2", ("--work", args.work))?);
            parts.push(Part::new(args, "producer", "Producer1", ("--every", args.first))?);
            parts.push(Part::new(args, "producer", "Producer2", ("--every", args.second))?);
        }
        parts.iter_mut().try_for_each(|part| part.start(&tell))?;
        Ok(Self { parts, tell })
    }

    /// Kills (SIGKILL) the part with this number, or starts it again.
    pub(super) fn toggle(&mut self, number: usize) {
        let Some(part) = self.parts.get_mut(number) else { return };
        let (done, said) = match &mut part.running {
            Some((child, _)) => (child.start_kill(), "kill -9"),
            None => (part.start(&self.tell), "started again"),
        };
        tell(&self.tell, &part.row.name, done.map_or_else(|error| error.to_string(), |()| said.to_owned()));
    }

    /// Notices parts that have ended.
    pub(super) fn check(&mut self) {
        for Part { row, running, .. } in &mut self.parts {
            if let Some(status) = running.as_mut().and_then(|(child, _)| child.try_wait().ok().flatten()) {
                *running = None;
                row.state = format!("ended: {status}");
                tell(&self.tell, &row.name, row.state.clone());
            }
        }
    }

    /// True if there were parts, and none runs.
    pub(super) fn have_ended(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(|part| part.running.is_none())
    }

    /// What the view shows.
    pub(super) fn rows(&self) -> Vec<PartRow> {
        self.parts.iter().map(|part| part.row.clone()).collect()
    }

    /// Stops all: first the producers, so that the consumers can still work on what those sent.
    pub(super) async fn stop(&mut self) {
        for consumers in [false, true] {
            let some = self.parts.iter_mut().filter(|part| part.row.is_consumer == consumers);
            let mut some: Vec<&mut Child> =
                some.filter_map(|part| Some(&mut part.running.as_mut()?.0)).collect();
            for pid in some.iter().filter_map(|child| child.id()) {
                // It may have ended.
                let _ = kill(Pid::from_raw(pid as i32), Signal::SIGTERM);
            }
            for child in &mut some {
                // A part that hangs ends itself 3 s after its grace.
                if tokio::time::timeout(GRACE * 2, child.wait()).await.is_err() {
                    let _ = child.kill().await;
                }
            }
        }
    }

    /// Ends all at once.
    pub(super) fn kill(&mut self) {
        // Dropping a child kills it.
        self.parts.clear();
    }
}

impl Part {
    fn new(args: &DemoArgs, kind: &str, name: &str, pace: (&str, HumanDuration)) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([kind, "--name", name, pace.0, &pace.1.to_string(), "--ends-with-stdin"]);
        // Not an argument: it may have a password, and arguments can be seen.
        command.env("REDIS_CONNECTION_STRING", args.flow.url()?);
        command.env("REDISFLOW_STREAM", args.flow.stream.as_str()).env("REDISFLOW_GROUP", &args.flow.group);
        command.env("REDISFLOW_LISTEN", "127.0.0.1:0").env("LOG_FORMAT", "pretty");
        command.env("SHUTDOWN_DELAY", "0s").env("SHUTDOWN_GRACE", format!("{}s", GRACE.as_secs()));
        // In a group of its own: a Ctrl-C of the terminal is for the demo, which stops its parts in order.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let row = PartRow { name: name.to_owned(), is_consumer: kind == "consumer", state: String::new() };
        Ok(Self { row, command, running: None })
    }

    fn start(&mut self, tell: &mpsc::Sender<News>) -> io::Result<()> {
        let mut child = self.command.spawn()?;
        if let Some(log) = child.stderr.take() {
            tokio::spawn(forward(self.row.name.clone(), log, tell.clone()));
        }
        self.row.state = format!("runs, process {}", child.id().unwrap_or_default());
        let input = child.stdin.take();
        self.running = Some((child, input));
        Ok(())
    }
}

async fn forward(name: String, log: impl AsyncRead + Unpin, tell: mpsc::Sender<News>) {
    let mut lines = BufReader::new(log).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if tell.send(News::Line(name.clone(), line)).await.is_err() {
            return;
        }
    }
}

/// Says something about a part. If too much is said already, this is left out.
fn tell(tell: &mpsc::Sender<News>, name: &str, said: String) {
    let _ = tell.try_send(News::Line(name.to_owned(), said));
}
