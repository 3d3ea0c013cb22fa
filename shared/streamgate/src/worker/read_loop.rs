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
        match consumer.read(free, patience.min(next_due)).await {
            Ok(deliveries) => {
                reading.set(true);
                execution.start_all(deliveries).await;
            }
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
