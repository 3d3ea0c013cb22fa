use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::message::Receipt;
use super::settler::{Decision, SettlerQueue};
use crate::connection::{Error, RetryLog};
use crate::stream::{Claimer, Consumer, Delays, LeasedEntry};
use crate::telemetry::Latch;

/// Takes entries from the group, one batch for each time that the reader asks for one.
pub(super) struct Fetch {
    pub(super) consumer: Consumer,
    pub(super) claimer: Claimer,
    pub(super) delays: Delays,
    pub(super) schedule: Schedule,
    pub(super) batch: usize,
    pub(super) asked: Arc<Notify>,
    pub(super) batches: mpsc::Sender<Result<Vec<LeasedEntry>, Error>>,
    pub(super) settlements: SettlerQueue,
    pub(super) ready: Option<Latch>,
    pub(super) stop: CancellationToken,
}

/// No read blocks for longer while suspects wait to be claimed.
const SUSPECT_PAUSE: Duration = Duration::from_millis(20);

/// How often it is checked whether an entry is due whose retry another process delayed.
const DELAYS_PERIOD: Duration = Duration::from_millis(500);

impl Fetch {
    /// Takes batches until `stop`, and hands back a batch that the reader did not take.
    pub(super) async fn run(mut self) {
        self.consumer.join(&self.stop).await;
        let _awake = self.consumer.waker().wake_on(&self.stop);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.asked.notified() => {}
            }
            let batch = self.next_batch().await;
            if let Err(mpsc::error::SendError(unread)) = self.batches.send(batch).await {
                for leased in unread.unwrap_or_default() {
                    Receipt::new(leased, self.settlements.clone()).settle_aside(Decision::HandBack);
                }
                return;
            }
        }
    }

    /// The next entries; waits for them. Empty if it was stopped. During an outage it tries again; only an error that
    /// another try will not heal is returned.
    async fn next_batch(&mut self) -> Result<Vec<LeasedEntry>, Error> {
        while !self.stop.is_cancelled() {
            let entries = match self.claim_and_take_due().await {
                entries if entries.is_empty() => self.read().await?,
                entries => entries,
            };
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        Ok(Vec::new())
    }

    /// Claims entries that other consumers let idle, and takes entries whose delay has ended, if that is due.
    async fn claim_and_take_due(&mut self) -> Vec<LeasedEntry> {
        // An entry pending from before the start counts as delivered again, once.
        if self.consumer.is_starting() {
            return Vec::new();
        }
        if self.schedule.claim_is_due() || self.claimer.can_take_suspect() {
            match self.claimer.claim(self.batch).await {
                Ok(entries) => {
                    self.schedule.claimed(self.claimer.has_seen_all());
                    if !entries.is_empty() {
                        return entries;
                    }
                }
                Err(error) => {
                    self.schedule.claim_failed(&error);
                    // If only the answer was lost, this consumer already owns the claimed entries.
                    self.consumer.recover();
                }
            }
        }
        if self.schedule.delays_are_due() {
            match self.delays.take_due(self.batch).await {
                Ok((entries, next)) => {
                    // A full batch may have left others behind.
                    let next = if entries.len() >= self.batch { Some(Duration::ZERO) } else { next };
                    self.schedule.took_due(next);
                    return entries;
                }
                Err(error) => {
                    self.schedule.take_failed(&error);
                    self.consumer.recover();
                }
            }
        }
        Vec::new()
    }

    async fn read(&mut self) -> Result<Vec<LeasedEntry>, Error> {
        let patience = self.schedule.until_next();
        let patience = match self.claimer.has_left_suspects() {
            true => patience.min(SUSPECT_PAUSE),
            false => patience,
        };
        let result = self.consumer.read(self.batch, patience).await;
        if let Some(ready) = &self.ready {
            ready.set(result.is_ok());
        }
        match result {
            Ok(entries) => Ok(entries),
            Err(error) => {
                let pause = self.consumer.failed(&error);
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = tokio::time::sleep(pause) => {}
                }
                if error.is_transient() { Ok(Vec::new()) } else { Err(error) }
            }
        }
    }
}

/// When to claim, and when to look for delayed entries.
pub(super) struct Schedule {
    lease: Duration,
    claim_due: Instant,
    claiming: RetryLog,
    delays_due: Instant,
    delays: RetryLog,
}

impl Schedule {
    /// Claims at once if `claim_first`; else reads new entries for a while before.
    pub(super) fn new(lease: Duration, claim_first: bool) -> Self {
        let now = Instant::now();
        let (claiming, delays) = (RetryLog::new("claimer"), RetryLog::new("delays"));
        let mut schedule = Self { lease, claim_due: now, claiming, delays_due: now, delays };
        if !claim_first {
            schedule.pause_claims();
        }
        schedule
    }

    fn claim_is_due(&self) -> bool {
        self.claim_due <= Instant::now()
    }

    fn delays_are_due(&self) -> bool {
        self.delays_due <= Instant::now()
    }

    fn until_next(&self) -> Duration {
        self.claim_due.min(self.delays_due).saturating_duration_since(Instant::now())
    }

    fn claimed(&mut self, seen_all: bool) {
        self.claiming.healed();
        if seen_all {
            self.pause_claims();
        }
    }

    fn claim_failed(&mut self, error: &Error) {
        self.claiming.failed(error);
        self.pause_claims();
    }

    /// Twice per lease, jittered, so that consumers do not all claim at the same time.
    fn pause_claims(&mut self) {
        self.claim_due = Instant::now() + self.lease.mul_f64(rand::random_range(0.35..0.5));
    }

    fn took_due(&mut self, next: Option<Duration>) {
        self.delays.healed();
        self.delays_due = Instant::now() + next.unwrap_or(DELAYS_PERIOD).min(DELAYS_PERIOD);
    }

    fn take_failed(&mut self, error: &Error) {
        self.delays_due = Instant::now() + self.delays.failed(error);
    }
}
