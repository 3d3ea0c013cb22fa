//! The loop that takes entries from the stream.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::due::DueEntries;
use super::execution::Execution;
use super::intake::{Grant, Intake};
use super::job::Job;
use crate::connection::{Error, RetryLog};
use crate::stream::{Claimer, Consumer, LeasedEntry};
use crate::telemetry::{Latch, LatchView};

/// The most entries in one read.
const LARGEST_READ: usize = 256;

/// How often a worker that holds a suspect checks whether the suspect is settled. While other suspects wait to be
/// claimed, no read blocks for longer.
const SUSPECT_PAUSE: Duration = Duration::from_millis(20);

/// How often a worker without permissions checks whether it has them.
const PERMISSION_PAUSE: Duration = Duration::from_millis(10);

/// What a worker without an [`Intake`] may take.
const EVERYTHING: Grant = Grant { most: LARGEST_READ, patience: Duration::MAX };

/// Takes entries until `stop`, as many as slots are free. Twice per lease it claims entries that other consumers let
/// idle, and it takes delayed entries that are due; otherwise it reads new ones. One loop does all of it, so that they
/// never fill the same slot.
pub(super) struct ReadLoop<J: Job> {
    pub(super) consumer: Consumer,
    pub(super) claimer: Claimer,
    pub(super) due: Option<DueEntries>,
    pub(super) execution: Arc<Execution<J>>,
    pub(super) reading: Latch,
    pub(super) may_work: LatchView,
    pub(super) intake: Option<Arc<dyn Intake>>,
}

impl<J: Job> ReadLoop<J> {
    /// Takes entries until `stop`.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
        let _awake = self.consumer.waker().wake_on(stop);
        let mut claims = Claims::new(self.claimer.claim_min_idle());
        while !stop.is_cancelled() {
            let pause = if !self.may_work.is_set() {
                Some(PERMISSION_PAUSE)
            } else {
                // A suspect runs alone. Other entries would wait behind it here; another worker can take them.
                self.claimer.holds_suspect().then_some(SUSPECT_PAUSE)
            };
            if let Some(pause) = pause {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => continue,
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = self.execution.limit.wait_for_free() => {}
            }
            let Some(intake) = self.intake.clone() else {
                let _ = self.turn(&mut claims, EVERYTHING, stop).await;
                continue;
            };
            let grant = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                grant = intake.open() => grant,
            };
            let taken = self.turn(&mut claims, grant, stop).await;
            intake.took(taken);
        }
    }

    /// Claims, takes what is due, or reads. Returns how many entries it took.
    async fn turn(&mut self, claims: &mut Claims, grant: Grant, stop: &CancellationToken) -> usize {
        let execution = Arc::clone(&self.execution);
        let free = || execution.limit.free().min(LARGEST_READ);
        let mut taken = 0;
        if (claims.are_due() || self.claimer.can_take_suspect()) && !self.consumer.is_starting() {
            match self.claimer.claim(free().min(grant.most)).await {
                Ok(deliveries) => {
                    self.reading.set(true);
                    claims.made(self.claimer.has_seen_all());
                    taken = deliveries.len();
                    execution.start_all(deliveries).await;
                }
                Err(error) => {
                    claims.failed(&error);
                    // If only the answer was lost, this consumer already owns the claimed entries.
                    self.consumer.recover();
                }
            }
        }
        let most = free().min(grant.most.saturating_sub(taken));
        if most == 0 {
            return taken;
        }
        if let Some(due) = &mut self.due
            && due.may_be_due()
            && !self.consumer.is_starting()
        {
            match due.take(most).await {
                Ok(deliveries) => {
                    taken += deliveries.len();
                    execution.start_all(deliveries).await;
                }
                Err(_) => self.consumer.recover(),
            }
            return taken;
        }
        let next_due = self.due.as_ref().map_or(Duration::MAX, DueEntries::until_next);
        let patience = match self.claimer.has_left_suspects() {
            true => claims.until_next().min(SUSPECT_PAUSE),
            false => claims.until_next(),
        };
        let patience = patience.min(next_due).min(grant.patience);
        let result = match &self.intake {
            Some(intake) => {
                let read = read_until_closed(&mut self.consumer, &**intake, most, patience).await;
                match read {
                    Ok(deliveries) => {
                        taken += deliveries.len();
                        execution.start_all(deliveries).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
            None => {
                let (due, may_work) = (&self.due, &self.may_work);
                let only_reads = || {
                    let may_be_due = due.as_ref().is_some_and(DueEntries::may_be_due);
                    !stop.is_cancelled() && may_work.is_set() && !claims.are_due() && !may_be_due
                };
                read_while_entries_wait(&mut self.consumer, &execution, patience, only_reads).await
            }
        };
        match result {
            Ok(()) => self.reading.set(true),
            Err(error) => {
                self.reading.set(false);
                let pause = self.consumer.failed(&error);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
        taken
    }
}

/// Reads entries once. If the intake closes meanwhile, the blocked read ends at once.
async fn read_until_closed(
    consumer: &mut Consumer,
    intake: &dyn Intake,
    most: usize,
    patience: Duration,
) -> Result<Vec<LeasedEntry>, Error> {
    let waker = consumer.waker();
    let mut read = pin!(consumer.read(most, patience));
    tokio::select! {
        biased;
        result = &mut read => return result,
        () = intake.closed() => {}
    }
    loop {
        // The reader may be about to block, so it is woken until the read ends.
        waker.wake().await;
        tokio::select! {
            biased;
            result = &mut read => return result,
            () = tokio::time::sleep(CLOSED_PERIOD) => {}
        }
    }
}

/// How often a reader is woken whose intake has closed.
const CLOSED_PERIOD: Duration = Duration::from_millis(20);

/// Reads entries and starts the work on them. If a read brings as many as it asked for, probably more wait: then the
/// next read runs while the work on these starts, as long as slots are free and `only_reads`.
async fn read_while_entries_wait<J: Job>(
    consumer: &mut Consumer,
    execution: &Arc<Execution<J>>,
    patience: Duration,
    only_reads: impl Fn() -> bool,
) -> Result<(), Error> {
    let limit = &execution.limit;
    // Half of the slots are for the entries that the next read brings.
    let largest = LARGEST_READ.min(limit.limit().div_ceil(2));
    let mut most = limit.free().min(largest);
    let mut deliveries = consumer.read(most, patience).await?;
    loop {
        let free = limit.free().saturating_sub(deliveries.len());
        if deliveries.len() < most || free == 0 || !only_reads() || consumer.is_recovering() {
            execution.start_all(deliveries).await;
            return Ok(());
        }
        most = free.min(largest);
        let started = execution.start_all(deliveries);
        let (next, ()) = tokio::join!(biased; consumer.read(most, patience), started);
        deliveries = next?;
    }
}

/// Schedules the claims of entries that other consumers let idle.
struct Claims {
    claim_min_idle: Duration,
    due: Instant,
    outage: RetryLog,
}

impl Claims {
    fn new(claim_min_idle: Duration) -> Self {
        Self { claim_min_idle, due: Instant::now(), outage: RetryLog::new("claimer") }
    }

    fn are_due(&self) -> bool {
        self.due <= Instant::now()
    }

    /// Time until the next claim; zero if the last one has not seen all pending entries.
    fn until_next(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    fn made(&mut self, seen_all: bool) {
        self.outage.healed();
        if seen_all {
            self.pause();
        }
    }

    fn failed(&mut self, error: &Error) {
        self.outage.failed(error);
        self.pause();
    }

    /// Twice per lease, jittered, so that workers do not all claim at the same time.
    fn pause(&mut self) {
        self.due = Instant::now() + self.claim_min_idle.mul_f64(rand::random_range(0.35..0.5));
    }
}
