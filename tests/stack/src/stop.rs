//! What ends a run from outside: signals.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The exit code after a second Ctrl-C: 128 + SIGINT, as shells report it.
const IMPATIENT_EXIT: i32 = 130;

/// Whether somebody wants everything to stop.
///
/// The first signal asks for an orderly stop, a second Ctrl-C ends everything at once. A second SIGTERM is no
/// such wish: make passes on the one that its whole group received.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    started: Arc<Mutex<Vec<u32>>>,
}

/// Why nothing went on: a signal came.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) &'static str);

impl std::error::Error for Interrupted {}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl Stop {
    /// One that listens to signals.
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
        let stop = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let listener = stop.clone();
        thread::spawn(move || {
            let mut interrupts = 0;
            for signal in signals.forever() {
                interrupts += i32::from(signal == SIGINT);
                if signal == SIGINT && interrupts > 1 {
                    listener.kill();
                    std::process::exit(IMPATIENT_EXIT);
                }
                listener.asked.store(true, Ordering::Release);
            }
        });
        Ok(stop)
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// An error once a stop was asked for.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.is_asked() { Err(Interrupted("").into()) } else { Ok(()) }
    }

    /// Remembers a process that an impatient end kills.
    pub(crate) fn remember(&self, pid: u32) {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    }

    /// Forgets a process that has ended: its number may become another's.
    pub(crate) fn forget(&self, pid: u32) {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).retain(|it| *it != pid);
    }

    fn kill(&self) {
        for pid in self.started.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = kill(Pid::from_raw(*pid as i32), Signal::SIGKILL);
        }
    }
}
