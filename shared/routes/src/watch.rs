//! Notices that the routes file has changed. All or nothing: a file with a fault changes nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::Routes;
use crate::explain::{Difference, diff};
use crate::fault::Faults;
use crate::file::sources::Sources;

/// The time between two looks at the file.
pub const PERIOD: Duration = Duration::from_secs(1);

/// The routes in force, and the file that they come from.
///
/// A look reads the file, its schemas and the files of its values, and compares hashes. Dates and inodes would be
/// cheaper but would miss changes: Kubernetes swaps symbolic links, and a copied file may keep its date.
#[derive(Debug)]
pub struct Watch {
    /// `None` for routes without a file, which never change.
    path: Option<PathBuf>,
    routes: watch::Sender<Arc<Routes>>,
    last: Mutex<Last>,
    failures: AtomicU64,
}

/// The last read of the file.
#[derive(Debug)]
struct Last {
    sources: Arc<Sources>,
    faults: Option<Faults>,
    /// What the last look saw, if it was something else.
    seen: Option<[u8; 32]>,
}

/// What a look at the file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// The routes in force are those of the file, or the file has just changed.
    Unchanged,
    /// The routes of the file are in force now. Without differences, only comments or the version changed.
    Replaced(Vec<Difference>),
    /// The file has faults: the routes before stay in force.
    Failed(Faults),
}

impl Watch {
    /// Watches the file at `path`, from which `routes` were read.
    pub fn new(path: &Path, routes: Routes) -> Self {
        Self::of(Some(path.to_owned()), routes)
    }

    /// Routes without a file. They stay in force, so a process can treat both kinds alike.
    pub fn fixed(routes: Routes) -> Self {
        Self::of(None, routes)
    }

    fn of(path: Option<PathBuf>, routes: Routes) -> Self {
        let last = Last { sources: routes.sources.clone(), faults: None, seen: None };
        let routes = watch::Sender::new(Arc::new(routes));
        Self { path, routes, last: Mutex::new(last), failures: AtomicU64::new(0) }
    }

    /// The routes in force.
    pub fn current(&self) -> Arc<Routes> {
        self.routes.borrow().clone()
    }

    /// The routes in force, and a notice whenever others are.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Routes>> {
        self.routes.subscribe()
    }

    /// How many looks found a file with faults: it grows once a second until the file is right. For the counter
    /// `routes_reload_failures_total`.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Looks at the file once a second, for ever. Reading does not block the runtime.
    pub async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let watch = self.clone();
            // A read that fails to run is made up for by the next one.
            let _ = tokio::task::spawn_blocking(move || watch.look()).await;
        }
    }

    /// Compares the file, and the files that it uses, with what was read. A change is taken by the second look that
    /// sees it, because a program may still be writing.
    pub fn look(&self) -> Reload {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = last.sources.changed();
        let before = std::mem::replace(&mut last.seen, seen);
        match (seen, &last.faults) {
            (Some(_), _) if before == seen => self.read(last),
            (None, Some(faults)) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                Reload::Failed(faults.clone())
            }
            _ => Reload::Unchanged,
        }
    }

    /// Reads the file now, as SIGHUP asks. It blocks for as long as the file system does.
    pub fn reload(&self) -> Reload {
        self.read(self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file, and logs what is new about it.
    fn read(&self, mut last: MutexGuard<'_, Last>) -> Reload {
        let Some(path) = &self.path else { return Reload::Unchanged };
        let sources = Arc::<Sources>::default();
        let found = Routes::load_from(path, &|name| std::env::var(name).ok(), &sources);
        let before = std::mem::replace(
            &mut *last,
            Last { sources, faults: found.as_ref().err().cloned(), seen: None },
        );
        let file = path.display();
        match found {
            Err(faults) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if before.faults.as_ref() != Some(&faults) {
                    tracing::error!(
                        "ROUTES_FILE={file} has faults, the routes before stay in force:\n{faults}"
                    );
                }
                Reload::Failed(faults)
            }
            Ok(routes) => {
                let changes = diff(&self.current(), &routes);
                let (version, count) = (routes.version.clone(), routes.routes.len());
                if changes.is_empty() && version == self.current().version {
                    if before.faults.is_some() {
                        tracing::info!(%file, version, "the routes file is valid again");
                    }
                    return Reload::Unchanged;
                }
                let shown: Vec<String> = changes.iter().take(20).map(ToString::to_string).collect();
                self.routes.send_replace(Arc::new(routes));
                tracing::info!(%file, version, routes = count, changes = shown.join("; "), "routes reloaded");
                Reload::Replaced(changes)
            }
        }
    }
}
