use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::UsualTime;

/// How long a newcomer would wait, told from how fast answers come: the number of those who wait
/// divided by the answers per second.
///
/// It asks nobody: what a replica sees of its own callers includes every worker, however many other
/// replicas share them. (A rule based on the length of the common queue sheds too much or too late,
/// since all replicas see the same number and act on it at once.)
///
/// By Little's law those who wait, divided by the rate, is the time from admission to answer; the
/// time before the work starts is that minus the usual work. The rate is counted over busy time only,
/// and it says something about capacity only while there is a queue: with idle workers answers come
/// as seldom as requests do. So there is no estimate before enough was seen, nor while answers show
/// next to no time in the queue.
#[derive(Debug, Default)]
pub struct WaitEstimate {
    /// Answers since the last tick.
    answers: AtomicU64,
    usual_work: UsualTime,
    usual_queue: UsualTime,
    /// Busy time per answer; 0 while there is no estimate.
    nanos_per_answer: AtomicU64,
    /// The same, three standard errors longer.
    cautious_nanos_per_answer: AtomicU64,
    recent: Mutex<Recent>,
}

/// Answers and busy time, both fading.
#[derive(Debug, Default)]
struct Recent {
    answers: f64,
    busy: f64,
    /// Answers since there is something to tell, not fading.
    counted: u64,
    /// Busy time since the first answer.
    seen: Duration,
    idle: Duration,
}

/// How far back the rate looks, at least; four times the usual work if that is longer, since fewer
/// answers than that make a rate by chance.
const MEMORY: Duration = Duration::from_secs(1);

/// Busy time to see before the rate is believed, at least; twice the usual work if that is longer.
const EVIDENCE: Duration = Duration::from_millis(100);

/// Answers to have seen, so that one that stumbles on a busy machine does not speak for all.
const ENOUGH: u64 = 32;

/// Busy time after which fewer answers are believed too, at least; six times the usual work if that
/// is longer: a few workers with long work never give many.
const LONG_EVIDENCE: Duration = Duration::from_secs(2);

/// After this long without anybody waiting, nothing is known any more: workers may have come or gone.
const FORGET: Duration = Duration::from_secs(30);

/// Answers that were in the queue for no longer than this, and a quarter of the usual work, show no
/// queue: a few milliseconds is what entry ids and a busy machine cannot tell apart.
const NO_QUEUE: Duration = Duration::from_millis(5);

/// Whom a wrong estimate lets in gets a 504 instead of a fast 503, so it errs to the safe side; a
/// shorter queue costs no throughput.
const STANDARD_ERRORS: f64 = 3.0;

impl WaitEstimate {
    /// An answer came, to whomever: it was capacity.
    pub fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Where the time of an answered request went.
    pub fn learn(&self, queue: Duration, work: Duration) {
        self.usual_queue.learn(queue);
        self.usual_work.learn(work);
    }

    /// `elapsed` has passed since the last tick and `waiting` wait now. Tick every few milliseconds.
    pub fn tick(&self, waiting: usize, elapsed: Duration) {
        let answers = self.answers.swap(0, Ordering::Relaxed);
        let work = self.usual_work.get();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting == 0 && answers == 0 {
            recent.idle += elapsed;
            if recent.idle >= FORGET {
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
            ENOUGH.. => EVIDENCE.max(work * 2),
            _ => LONG_EVIDENCE.max(work * 6),
        };
        if recent.seen >= evidence {
            // Without any answer for long this grows, but it stays a number.
            let nanos = recent.busy * 1e9 / recent.answers.max(1e-6);
            // What is counted n times is known to about the square root of n.
            let caution = 1.0 + STANDARD_ERRORS / recent.answers.max(1.0).sqrt();
            self.nanos_per_answer.store(nanos as u64, Ordering::Relaxed);
            self.cautious_nanos_per_answer.store((nanos * caution) as u64, Ordering::Relaxed);
        }
    }

    /// How long a newcomer behind `waiting` others waits before its work starts; `None` while nothing
    /// says that there is a queue.
    pub fn wait(&self, waiting: usize) -> Option<Duration> {
        self.wait_at(waiting, &self.nanos_per_answer)
    }

    /// By how much the wait behind `waiting` others, cautiously estimated, and twice the usual work
    /// are longer than `patience`; `None` if they are not, or if there is no wait: whether work that
    /// starts at once can still be done is the worker's to decide, and somebody has to find out when
    /// it takes less again.
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

    /// Answers `per_second`, each after `queue`, for `span`, while `waiting` wait.
    fn run(estimate: &WaitEstimate, per_second: f64, queue: Duration, waiting: usize, span: Duration) {
        let mut owed = 0.0;
        for _ in 0..span.as_millis() / TICK.as_millis() {
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
    fn nothing_is_estimated_before_anything_was_answered() {
        let estimate = WaitEstimate::default();

        run(&estimate, 0.0, Duration::ZERO, 10_000, ms(5_000));

        assert_eq!(estimate.wait(10_000), None, "a cold start");
        assert_eq!(estimate.excess(10_000, ms(1)), None);
    }

    #[test]
    fn a_queue_takes_its_length_times_the_time_per_answer() {
        let estimate = WaitEstimate::default();

        run(&estimate, 200.0, ms(900), 200, ms(5_000));

        let wait = estimate.wait(200).expect("a queue");
        assert!((ms(900)..ms(1_000)).contains(&wait), "200 at 200/s less {WORK:?} of work: {wait:?}");
        assert_eq!(estimate.excess(200, ms(1_400)), None, "there is time for it");
        let excess = estimate.excess(200, ms(800)).expect("too long");
        assert!(
            (ms(400)..ms(500)).contains(&excess),
            "with a fifth more for three standard errors: {excess:?}"
        );
    }

    #[test]
    fn a_few_answers_and_a_stumble_do_not_turn_a_burst_away() {
        let estimate = WaitEstimate::default();

        run(&estimate, 1_000.0, ms(50), 1_000, TICK);
        run(&estimate, 0.0, ms(0), 1_000, ms(800));

        assert_eq!(estimate.excess(1_000, ms(30_000)), None, "16 answers say little");
    }

    #[test]
    fn few_answers_in_a_long_time_are_what_there_is_to_go_by() {
        let estimate = WaitEstimate::default();

        run(&estimate, 5.0, ms(900), 20, ms(5_000));

        assert!(estimate.excess(20, ms(1_000)).is_some(), "four seconds of queue");
    }

    #[test]
    fn answers_that_never_queued_let_a_burst_in() {
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
    fn a_long_rest_forgets_what_was_seen() {
        let estimate = WaitEstimate::default();
        run(&estimate, 200.0, ms(500), 100, ms(3_000));

        run(&estimate, 0.0, ms(0), 0, FORGET + TICK * 2);

        assert_eq!(estimate.wait(100), None);
    }

    #[test]
    fn an_empty_queue_admits_whatever_the_rate_was() {
        let estimate = WaitEstimate::default();
        run(&estimate, 200.0, ms(500), 100, ms(3_000));
        run(&estimate, 0.0, ms(0), 100, ms(20_000));

        assert_eq!(estimate.excess(0, WORK), None, "one may always find out");
    }

    #[test]
    fn long_work_is_let_in_while_a_worker_is_free_for_it() {
        let estimate = WaitEstimate::default();

        // Ten at once, 50 ms each.
        run(&estimate, 200.0, ms(500), 100, ms(3_000));

        assert_eq!(estimate.excess(9, ms(80)), None, "there is a place");
        assert!(estimate.excess(20, ms(80)).is_some(), "there is none");
    }
}
