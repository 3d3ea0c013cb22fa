use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Whether the demo is to stop. The first signal asks for an orderly stop, a second Ctrl-C for one at once. A second
/// SIGTERM is no such wish: a launcher passes on the signal that its whole group received.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    asked: CancellationToken,
    at_once: CancellationToken,
}

impl Stop {
    /// One that listens to signals, on the current runtime.
    pub(super) fn on_signals() -> std::io::Result<Self> {
        let stop = Self::default();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [mut interrupts, mut terminations, mut hangups] =
            [signal(kinds[0])?, signal(kinds[1])?, signal(kinds[2])?];
        let listener = stop.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupts.recv() => listener.interrupt(),
                    _ = terminations.recv() => listener.ask(),
                    _ = hangups.recv() => listener.ask(),
                }
            }
        });
        Ok(stop)
    }

    /// Asks for an orderly stop.
    pub(super) fn ask(&self) {
        self.asked.cancel();
    }

    /// Asks for an orderly stop when it is dropped.
    pub(super) fn guard(&self) -> DropGuard {
        self.asked.clone().drop_guard()
    }

    /// Ctrl-C.
    pub(super) fn interrupt(&self) {
        match self.asked.is_cancelled() {
            true => self.at_once.cancel(),
            false => self.ask(),
        }
    }

    /// Completes when a stop is asked for.
    pub(super) async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Completes when everything is to end at once.
    pub(super) async fn at_once(&self) {
        self.at_once.cancelled().await;
    }
}
