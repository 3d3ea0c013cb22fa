//! The loop that takes entries from the stream.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::due::DueEntries;
use super::execution::Execution;
use super::job::Job;
use crate::connection::{Error, RetryLog};
use crate::stream::{Claimer, Consumer};
use crate::telemetry::{Latch, LatchView};

/// The most entries in one read.
const LARGEST_READ: usize = 256;

/// How often a worker that holds a suspect checks whether the suspect is settled. While other suspects wait to be
/// claimed, no read blocks for longer.
const SUSPECT_PAUSE: Duration = Duration::from_millis(20);

/// How often a worker without permissions checks whether it has them.
const PERMISSION_PAUSE: Duration = Duration::from_millis(10);

/// Takes entries until `stop`, as many as slots are free. Twice per lease it claims entries that other consumers let
/// idle, and it takes delayed entries that are due; otherwise it reads new ones. One loop does all of it, so that they
/// never fill the same slot.
pub(super) async fn take<J: Job>(
    mut consumer: Consumer,
    mut claimer: Claimer,
    mut due: Option<DueEntries>,
    execution: &Arc<Execution<J>>,
    reading: Latch,
    may_work: LatchView,
    stop: &CancellationToken,
) {
    let _awake = consumer.waker().wake_on(stop);
    let mut claims = Claims::new(claimer.claim_min_idle());
    while !stop.is_cancelled() {
        if !may_work.is_set() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERMISSION_PAUSE) => continue,
            }
        }
        if claimer.holds_suspect() {
            // A suspect runs alone. Other entries would wait behind it here; another worker can take them.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SUSPECT_PAUSE) => continue,
            }
        }
        let free = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            free = execution.limit.wait_for_free() => free.min(LARGEST_READ),
        };
        if (claims.are_due() || claimer.can_take_suspect()) && !consumer.is_starting() {
            match claimer.claim(free).await {
                Ok(deliveries) => {
                    reading.set(true);
                    claims.made(claimer.has_seen_all());
                    execution.start_all(deliveries).await;
                }
                Err(error) => {
                    claims.failed(&error);
                    // If only the answer was lost, this consumer already owns the claimed entries.
                    consumer.recover();
                }
            }
        }
        let free = execution.limit.free().min(LARGEST_READ);
        if free == 0 {
            continue;
        }
        if let Some(due) = &mut due
            && due.may_be_due()
            && !consumer.is_starting()
        {
            match due.take(free).await {
                Ok(deliveries) => execution.start_all(deliveries).await,
                Err(_) => consumer.recover(),
            }
            continue;
        }
        let next_due = due.as_ref().map_or(Duration::MAX, DueEntries::until_next);
        let patience = match claimer.has_left_suspects() {
            true => claims.until_next().min(SUSPECT_PAUSE),
            false => claims.until_next(),
        };
        let patience = patience.min(next_due);
        let only_reads = || {
            let may_be_due = due.as_ref().is_some_and(DueEntries::may_be_due);
            !stop.is_cancelled() && may_work.is_set() && !claims.are_due() && !may_be_due
        };
        match read_while_entries_wait(&mut consumer, execution, patience, only_reads).await {
            Ok(()) => reading.set(true),
            Err(error) => {
                reading.set(false);
                let pause = consumer.failed(&error);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

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
