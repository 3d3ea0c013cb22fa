use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use streamgate::testing::Link;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::{
    CLAIM_MIN_IDLE, CONSUMER_GRACE, DEAD_LETTERS_KEPT, GROUP, PASSWORD, REPLIES, REQUEST_TIMEOUT, REQUESTS,
    RETENTION_ENTRIES,
};
use crate::history::{Process, Recorder, Role, now};
use crate::observe::logs::{self, Addresses};

/// A place in the system that one process after another takes.
pub struct Place {
    name: &'static str,
    role: Role,
    link: Link,
    binary: PathBuf,
    folder: PathBuf,
    /// False while nobody should take it.
    wanted: watch::Sender<bool>,
    /// A setting that differs for now.
    odd: Mutex<Option<(&'static str, String)>>,
    current: Mutex<Option<Current>>,
    /// False while nobody reads its log.
    log_read: watch::Sender<bool>,
}

/// Who has a place now.
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

impl Place {
    pub(super) fn new(name: &'static str, role: Role, link: Link, binary: PathBuf, folder: &Path) -> Self {
        Self {
            name,
            role,
            link,
            binary,
            folder: folder.to_owned(),
            wanted: watch::Sender::new(true),
            odd: Mutex::default(),
            current: Mutex::default(),
            log_read: watch::Sender::new(true),
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

    /// Who has it now.
    pub fn current(&self) -> Option<Current> {
        lock(&self.current).clone()
    }

    /// Whether anybody should have it.
    pub fn want(&self, wanted: bool) {
        self.wanted.send_replace(wanted);
    }

    /// Whether anybody reads its log.
    pub fn read_log(&self, read: bool) {
        self.log_read.send_replace(read);
    }

    /// A setting for the next who take it; `None`: as usual.
    pub fn set_odd(&self, setting: Option<(&'static str, String)>) {
        *lock(&self.odd) = setting;
    }

    /// Signals who has it now, if anybody.
    pub fn signal(&self, signal: Signal) {
        if let Some(current) = self.current() {
            // An error means that it has just ended.
            let _ = kill(Pid::from_raw(current.pid as i32), signal);
        }
    }

    /// True if who has it now says so.
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
                Ok((mut child, process)) => {
                    let how =
                        child.wait().await.map_or_else(|error| error.to_string(), |how| how.to_string());
                    *lock(&self.current) = None;
                    recorder.with(|history| history.processes[process].ended = Some((now(), how)));
                }
                Err(error) => eprintln!("{} cannot be started: {error}", self.name),
            }
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    }

    fn start(&self, generation: usize, recorder: &Recorder) -> std::io::Result<(Child, usize)> {
        // One worker keeps its name as in a StatefulSet, the others get new ones as in a Deployment.
        let consumer = match self.name {
            "worker-1" => self.name.to_owned(),
            name => format!("{name}-{generation}"),
        };
        let odd = lock(&self.odd).clone();
        let mut child = Command::new(&self.binary)
            .env_clear()
            .envs(self.environment(&consumer))
            .envs(odd.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().unwrap_or_default();
        let skew = odd.filter(|(name, _)| *name == "CLOCK_SKEW").and_then(|(_, ms)| ms.parse().ok());
        let process = recorder.with(|history| {
            history.processes.push(Process {
                name: self.name.to_owned(),
                role: self.role,
                consumer,
                skew_ms: skew.unwrap_or(0),
                pid,
                started: now(),
                ended: None,
                metrics: Default::default(),
            });
            history.processes.len() - 1
        });
        let (sender, addresses) = watch::channel(Addresses::default());
        if let Some(log) = child.stderr.take() {
            let file = self.folder.join(format!("{process:03}-{}.log", self.name));
            let reading = self.log_read.subscribe();
            tokio::spawn(logs::read(log, process, file, reading, sender, recorder.clone()));
        }
        *lock(&self.current) = Some(Current { process, pid, addresses });
        Ok((child, process))
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
                ("RUST_LOG", "info,streamgate::requester=debug,streamgate::worker=debug".to_owned()),
            ]),
        }
        all
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
