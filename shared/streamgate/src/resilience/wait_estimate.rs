use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::UsualTime;

/// Estimates how long a new request would wait: the number of waiting callers divided by the answers per second.
///
/// A replica needs only its own callers and answers for this, however many replicas share the workers. (A rule based
/// on the length of the shared queue sheds too much or too late: all replicas see the same length and react to it at
/// the same time.)
///
/// By Little's law the number of waiting callers divided by the rate of answers is the time from admission to answer.
/// The time before the work starts is that time minus the usual work. The rate counts busy time only. It shows the
/// capacity only while there is a queue: if workers are idle, answers come only as fast as requests. So there is no
/// estimate before enough answers came, nor while answered requests spent almost no time in the queue.
#[derive(Debug, Default)]
pub struct WaitEstimate {
    /// Answers since the last tick.
    answers: AtomicU64,
    usual_work: UsualTime,
    usual_queue: UsualTime,
    /// Busy time per answer; 0 while there is no estimate.
    nanos_per_answer: AtomicU64,
    /// The same plus three standard errors.
    cautious_nanos_per_answer: AtomicU64,
    recent: Mutex<Recent>,
}

/// Answers and busy time; old ones count less and less.
#[derive(Debug, Default)]
struct Recent {
    answers: f64,
    busy: f64,
    /// All answers since the first.
    counted: u64,
    /// All busy time since the first answer.
    seen: Duration,
    /// Time without waiting callers and answers.
    idle: Duration,
}

/// Time constant of the rate: at least this, or four times the usual work if that is longer. In a shorter time, too
/// few answers come for a reliable rate.
const MEMORY: Duration = Duration::from_secs(1);

/// Busy time before the rate counts: at least this, or twice the usual work if that is longer.
const EVIDENCE: Duration = Duration::from_millis(100);

/// Answers before the rate counts, so that one late answer on a busy machine does not decide.
const ENOUGH_ANSWERS: u64 = 32;

/// Busy time after which the rate counts with fewer answers: at least this, or six times the usual work if that is
/// longer. A few workers with long work never give many answers.
const LONG_EVIDENCE: Duration = Duration::from_secs(2);

/// After this long without waiting callers the estimate is dropped: workers may have come or gone.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// If requests spend no longer in the queue than this plus a quarter of the usual work, there is no queue: entry ids
/// count in milliseconds, and a busy machine delays by a few.
const NO_QUEUE: Duration = Duration::from_millis(5);

/// The admission is cautious: a request that was admitted by mistake gets a 504 instead of a fast 503, while a shorter
/// queue costs no throughput.
const STANDARD_ERRORS: f64 = 3.0;

impl WaitEstimate {
    /// Counts an answer. It shows capacity even if its caller has gone.
    pub fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds the times of an answered request.
    pub fn learn(&self, queue: Duration, work: Duration) {
        self.usual_queue.learn(queue);
        self.usual_work.learn(work);
    }

    /// Updates the rate, `elapsed` after the last tick, while `waiting` callers wait. Call it every few milliseconds.
    pub fn tick(&self, waiting: usize, elapsed: Duration) {
        let answers = self.answers.swap(0, Ordering::Relaxed);
        let work = self.usual_work.get();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting == 0 && answers == 0 {
            recent.idle += elapsed;
            if recent.idle >= FORGET_AFTER {
                *recent = Recent::default();
                self.nanos_per_answer.store(0, Ordering::Relaxed);
                self.cautious_nanos_per_answer.store(0, Ordering::Relaxed);
            }
            return;
        }
        recent.idle = Duration::ZERO;
        let memory = MEMORY.max(work * 4).as_secs_f64();
        let fading = (-elapsed.as_secs_f64() / memory).exp();
        recent.answers = recent.answers * fading + answers as f64;
        recent.busy = recent.busy * fading + elapsed.as_secs_f64();
        if recent.seen > Duration::ZERO || answers > 0 {
            recent.seen += elapsed;
            recent.counted += answers;
        }
        let evidence = match recent.counted {
            ENOUGH_ANSWERS.. => EVIDENCE.max(work * 2),
            _ => LONG_EVIDENCE.max(work * 6),
        };
        if recent.seen >= evidence {
            // Without answers this value grows; the lower bound avoids a division by zero.
            let nanos = recent.busy * 1e9 / recent.answers.max(1e-6);
            // The standard error of a count n is about the square root of n.
            let caution = 1.0 + STANDARD_ERRORS / recent.answers.max(1.0).sqrt();
            self.nanos_per_answer.store(nanos as u64, Ordering::Relaxed);
            self.cautious_nanos_per_answer.store((nanos * caution) as u64, Ordering::Relaxed);
        }
    }

    /// How long a new request behind `waiting` others waits before its work starts; `None` if there is no sign of a
    /// queue.
    pub fn wait(&self, waiting: usize) -> Option<Duration> {
        self.wait_at(waiting, &self.nanos_per_answer)
    }

    /// By how much a new request behind `waiting` others would exceed `patience`; `None` if it would not. The time that
    /// it needs is the cautious wait plus twice the usual work.
    ///
    /// `None` also if there is no wait. Then the worker decides whether the time left is enough, and such requests
    /// show when the work takes less time again.
    pub fn excess(&self, waiting: usize, patience: Duration) -> Option<Duration> {
        if self.wait(waiting)?.is_zero() {
            return None;
        }
        let wait = self.wait_at(waiting, &self.cautious_nanos_per_answer)?;
        let needed = wait.saturating_add(self.usual_work.get() * 2);
        needed.checked_sub(patience).filter(|excess| !excess.is_zero())
    }

    fn wait_at(&self, waiting: usize, nanos_per_answer: &AtomicU64) -> Option<Duration> {
        let nanos = nanos_per_answer.load(Ordering::Relaxed);
        let work = self.usual_work.get();
        if nanos == 0 || self.usual_queue.get() <= NO_QUEUE + work / 4 {
            return None;
        }
        Some(Duration::from_nanos(nanos.saturating_mul(waiting as u64)).saturating_sub(work))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(16);
    const WORK: Duration = Duration::from_millis(50);

    /// For `time`, answers `per_second` requests per second, each after `queue`, while `waiting` callers wait.
    fn run(estimate: &WaitEstimate, per_second: f64, queue: Duration, waiting: usize, time: Duration) {
        let mut owed = 0.0;
        for _ in 0..time.as_millis() / TICK.as_millis() {
            owed += per_second * TICK.as_secs_f64();
            while owed >= 1.0 {
                owed -= 1.0;
                estimate.answered();
                estimate.learn(queue, WORK);
            }
            estimate.tick(waiting, TICK);
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn there_is_no_estimate_before_the_first_answer() {
        let estimate = WaitEstimate::default();

        run(&estimate, 0.0, Duration::ZERO, 10_000, ms(5_000));

        assert_eq!(estimate.wait(10_000), None, "a cold start");
        assert_eq!(estimate.excess(10_000, ms(1)), None);
    }

    #[test]
    fn the_wait_is_the_queue_length_times_the_time_per_answer() {
        let estimate = WaitEstimate::default();

        run(&estimate, 200.0, ms(900), 200, ms(5_000));

        let wait = estimate.wait(200).expect("a queue");
        assert!((ms(900)..ms(1_000)).contains(&wait), "200 at 200/s less {WORK:?} of work: {wait:?}");
        assert_eq!(estimate.excess(200, ms(1_400)), None, "there is enough time");
        let excess = estimate.excess(200, ms(800)).expect("too long");
        assert!(
            (ms(400)..ms(500)).contains(&excess),
            "with a fifth more for three standard errors: {excess:?}"
        );
    }

    #[test]
    fn a_few_answers_and_a_pause_do_not_refuse_a_burst() {
        let estimate = WaitEstimate::default();

        run(&estimate, 1_000.0, ms(50), 1_000, TICK);
        run(&estimate, 0.0, ms(0), 1_000, ms(800));

        assert_eq!(estimate.excess(1_000, ms(30_000)), None, "16 answers say little");
    }

    #[test]
    fn after_a_long_time_a_few_answers_give_an_estimate() {
        let estimate = WaitEstimate::default();

        run(&estimate, 5.0, ms(900), 20, ms(5_000));

        assert!(estimate.excess(20, ms(1_000)).is_some(), "four seconds of queue");
    }

    #[test]
    fn a_burst_is_admitted_if_requests_did_not_queue_before() {
        let estimate = WaitEstimate::default();

        run(&estimate, 10.0, ms(1), 1, ms(5_000));

        assert_eq!(estimate.wait(1_000), None);
    }

    #[test]
    fn workers_that_stop_answering_make_the_wait_grow() {
        let estimate = WaitEstimate::default();
        run(&estimate, 200.0, ms(500), 100, ms(3_000));
        let before = estimate.wait(100).expect("a queue");

        run(&estimate, 0.0, ms(0), 100, ms(2_000));

        assert!(estimate.wait(100).expect("a queue") > before * 3);
    }

    #[test]
    fn the_estimate_is_dropped_after_a_long_idle_time() {
        let estimate = WaitEstimate::default();
        run(&estimate, 200.0, ms(500), 100, ms(3_000));

        run(&estimate, 0.0, ms(0), 0, FORGET_AFTER + TICK * 2);

        assert_eq!(estimate.wait(100), None);
    }

    #[test]
    fn an_empty_queue_admits_a_request_whatever_the_rate() {
        let estimate = WaitEstimate::default();
        run(&estimate, 200.0, ms(500), 100, ms(3_000));
        run(&estimate, 0.0, ms(0), 100, ms(20_000));

        assert_eq!(estimate.excess(0, WORK), None, "one request is always admitted");
    }

    #[test]
    fn long_work_is_admitted_while_a_worker_is_free() {
        let estimate = WaitEstimate::default();

        // Ten at once, 50 ms each.
        run(&estimate, 200.0, ms(500), 100, ms(3_000));

        assert_eq!(estimate.excess(9, ms(80)), None, "a worker is free");
        assert!(estimate.excess(20, ms(80)).is_some(), "no worker is free");
    }
}
