use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use stack::LogReader;
use streamgate::testing::Link;
use tokio::sync::watch;

use crate::history::{Process, Recorder, Role, now};
use crate::observe::logs::{Addresses, LogTaker};
use crate::setup::{
    CLAIM_MIN_IDLE, CONSUMER_GRACE, DEAD_LETTERS_KEPT, GROUP, PASSWORD, REPLIES, REQUEST_TIMEOUT, REQUESTS,
    RETENTION_ENTRIES,
};

/// A place in the system that one process after another takes.
pub struct Place {
    name: &'static str,
    role: Role,
    link: Link,
    binary: PathBuf,
    folder: PathBuf,
    /// False while no process should run here.
    wanted: watch::Sender<bool>,
    /// A setting that the next processes here get in addition.
    extra: Mutex<Option<(&'static str, String)>>,
    current: Mutex<Option<Current>>,
    /// The process that has it, until it is known to have ended.
    running: Mutex<Option<stack::Process>>,
    log_reader: Mutex<LogReader>,
}

/// The process that runs in a place now.
#[derive(Debug, Clone)]
pub struct Current {
    /// In the history.
    pub process: usize,
    /// Its process id.
    pub pid: u32,
    addresses: watch::Receiver<Addresses>,
}

impl Current {
    /// Where it listens, as far as it has said so.
    pub fn addresses(&self) -> Addresses {
        self.addresses.borrow().clone()
    }
}

/// An orchestrator needs a moment, too.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// Between two looks whether a process has ended.
const END_PAUSE: Duration = Duration::from_millis(5);

impl Place {
    pub(super) fn new(name: &'static str, role: Role, link: Link, binary: PathBuf, folder: &Path) -> Self {
        Self {
            name,
            role,
            link,
            binary,
            folder: folder.to_owned(),
            wanted: watch::Sender::new(true),
            extra: Mutex::default(),
            current: Mutex::default(),
            running: Mutex::default(),
            log_reader: Mutex::new(LogReader::Reads),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its part.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its way to Redis.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The process that runs here now.
    pub fn current(&self) -> Option<Current> {
        lock(&self.current).clone()
    }

    /// Sets whether a process should run here.
    pub fn want(&self, wanted: bool) {
        self.wanted.send_replace(wanted);
    }

    /// Sets how the logs of this process and the next ones are read.
    pub fn log_reader(&self, reader: LogReader) {
        *lock(&self.log_reader) = reader;
        if let Some(process) = &*lock(&self.running) {
            process.log_reader(reader);
        }
    }

    /// Sets an extra setting for the next processes here; `None` removes it.
    pub fn set_extra(&self, setting: Option<(&'static str, String)>) {
        *lock(&self.extra) = setting;
    }

    /// Signals the process that runs here, if there is one.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &*lock(&self.running) {
            process.signal(signal);
        }
    }

    /// True if the process that runs here says that it is ready.
    pub async fn is_ready(&self, client: &reqwest::Client) -> bool {
        let Some(admin) = self.current().and_then(|current| current.addresses().admin) else { return false };
        let asked = client.get(format!("http://{admin}/readyz")).timeout(Duration::from_secs(1)).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// Has a process take the place, and another one when it ends, for ever.
    pub(super) async fn supervise(self: Arc<Self>, recorder: Recorder) {
        let mut wanted = self.wanted.subscribe();
        for generation in 0.. {
            if wanted.wait_for(|wanted| *wanted).await.is_err() {
                return;
            }
            match self.start(generation, &recorder) {
                Ok(process) => {
                    let how = self.end().await.to_string();
                    *lock(&self.current) = None;
                    recorder.with(|history| history.processes[process].ended = Some((now(), how)));
                }
                Err(error) => eprintln!("{} cannot be started: {error}", self.name),
            }
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    }

    /// Waits for the end of its process.
    async fn end(&self) -> ExitStatus {
        loop {
            // Let go of the lock before sleeping.
            let ended = lock(&self.running).as_mut().and_then(stack::Process::ended);
            if let Some(status) = ended {
                lock(&self.running).take();
                return status;
            }
            tokio::time::sleep(END_PAUSE).await;
        }
    }

    /// Has a process take the place; where it is in the history.
    fn start(&self, generation: usize, recorder: &Recorder) -> anyhow::Result<usize> {
        // One worker keeps its name as in a StatefulSet, the others get new ones as in a Deployment.
        let consumer = match self.name {
            "worker-1" => self.name.to_owned(),
            name => format!("{name}-{generation}"),
        };
        let extra = lock(&self.extra).clone();
        let mut command = stack::clean(&self.binary);
        command.envs(self.environment(&consumer)).envs(extra.iter().map(|(name, value)| (*name, value)));
        let skew = extra.filter(|(name, _)| *name == "CLOCK_SKEW").and_then(|(_, ms)| ms.parse().ok());
        let process = recorder.with(|history| {
            history.processes.push(Process {
                name: self.name.to_owned(),
                role: self.role,
                consumer,
                skew_ms: skew.unwrap_or(0),
                pid: 0,
                started: now(),
                ended: None,
                metrics: Default::default(),
            });
            history.processes.len() - 1
        });
        let (sender, addresses) = watch::channel(Addresses::default());
        let file = self.folder.join(format!("{process:03}-{}.log", self.name));
        let mut log = LogTaker::new(process, &file, sender, recorder.clone());
        let running = stack::Process::start_with(self.name, command, move |line| log.take(line))?;
        running.log_reader(*lock(&self.log_reader));
        let pid = running.pid();
        recorder.with(|history| history.processes[process].pid = pid);
        *lock(&self.running) = Some(running);
        *lock(&self.current) = Some(Current { process, pid, addresses });
        Ok(process)
    }

    /// Short times, so that everything that takes time is at work within a minute.
    fn environment(&self, consumer: &str) -> Vec<(&'static str, String)> {
        let ms = |span: Duration| format!("{}ms", span.as_millis());
        let mut all = vec![
            ("REDIS_URL", self.link.url().replace("redis://", &format!("redis://:{PASSWORD}@"))),
            ("REQUEST_STREAM", REQUESTS.to_owned()),
            ("REPLY_STREAM", REPLIES.to_owned()),
            ("REQUEST_TIMEOUT", ms(REQUEST_TIMEOUT)),
            ("SHUTDOWN_GRACE", "3s".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        match self.role {
            Role::Ingress => {
                all.extend([
                    ("INGRESS_LISTEN", "127.0.0.1:0".to_owned()),
                    ("INGRESS_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
                    ("RUST_LOG", "info,ingress::answer=debug".to_owned()),
                ]);
                if self.name == "ingress-a" {
                    all.push(("INGRESS_REPLICA", "a".to_owned()));
                }
            }
            Role::Worker => all.extend([
                ("PROXY_LISTEN", "127.0.0.1:0".to_owned()),
                ("WORKER_NAME", consumer.to_owned()),
                ("CONSUMER_GROUP", GROUP.to_owned()),
                ("CLAIM_MIN_IDLE", ms(CLAIM_MIN_IDLE)),
                ("LEASE_RENEWAL", "200ms".to_owned()),
                ("CONSUMER_GRACE", ms(CONSUMER_GRACE)),
                ("MAX_DELIVERIES", "4".to_owned()),
                ("HOUSEKEEPING_PERIOD", "500ms".to_owned()),
                ("RETENTION_ENTRIES", RETENTION_ENTRIES.to_string()),
                ("DEAD_LETTERS_KEPT", DEAD_LETTERS_KEPT.to_string()),
                ("SIMULATED_LATENCY", "2ms..40ms".to_owned()),
                (
                    "RUST_LOG",
                    "info,streamgate::requester=debug,streamgate::responder=debug,streamgate::worker=debug"
                        .to_owned(),
                ),
            ]),
        }
        all
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
