use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;
use tokio::time::Instant;

/// With few callers waiting, ingress polls its sockets for a short time instead of sleeping.
///
/// With one caller at a time, a request spends most of its time on waking threads: six wake-ups of about 40 µs each on
/// a virtual machine (`docs/PERFORMANCE.md`). A thread that polls its sockets needs no wake-up: it sees the reply at
/// once.
///
/// It polls only if polling was worth it lately: while replies come within the budget, and, after a reply, if
/// callers usually send the next request at once.
/// Between two polls it lets other threads of its processor run (`sched_yield`).
#[derive(Clone)]
pub(super) struct BusyPoll(Option<Arc<Shared>>);

struct Shared {
    budget: Duration,
    started: Instant,
    /// When to stop polling, in nanoseconds since `started`; 0 while it does not poll.
    until: AtomicU64,
    /// When the last reply came, in nanoseconds since `started`.
    answered: AtomicU64,
    /// Whether replies usually come within the budget.
    quick_replies: Habit,
    /// Whether the next request usually comes within half of the budget.
    quick_callers: Habit,
    due: Notify,
}

/// With more callers the thread rarely sleeps anyway. Measured: a gain with up to 8 callers, little with 16, none with
/// 64.
const MOST_WAITING: usize = 8;

impl BusyPoll {
    /// Polls for up to `budget` after each event. It never polls if `budget` is zero, if there is one processor, or
    /// if the runtime has several threads: then another thread would sleep at the sockets and have to be woken.
    pub(super) fn new(budget: Duration) -> Self {
        let one_thread = |runtime: Handle| matches!(runtime.runtime_flavor(), RuntimeFlavor::CurrentThread);
        let one_processor = std::thread::available_parallelism().is_ok_and(|count| count.get() < 2);
        if budget.is_zero() || one_processor || !Handle::try_current().is_ok_and(one_thread) {
            Self(None)
        } else {
            Self(Some(Shared::new(budget)))
        }
    }

    /// A request was sent; now `waiting` callers wait, including this one.
    pub(super) fn sent(&self, at: Instant, waiting: usize) {
        let Some(shared) = &self.0 else { return };
        if waiting > MOST_WAITING {
            shared.stop();
            return;
        }
        let now = shared.nanos(at);
        if waiting == 1 {
            let pause = now.saturating_sub(shared.answered.load(Ordering::Relaxed));
            shared.quick_callers.learn(pause <= shared.callers_budget());
        }
        if shared.quick_replies.is_usual() {
            shared.poll_until(now + shared.budget.as_nanos() as u64);
        }
    }

    /// A reply came after `took`; now `waiting` callers still wait.
    pub(super) fn answered(&self, at: Instant, took: Duration, waiting: usize) {
        let Some(shared) = &self.0 else { return };
        if waiting > MOST_WAITING {
            shared.stop();
            return;
        }
        let now = shared.nanos(at);
        shared.answered.store(now, Ordering::Relaxed);
        // With several callers waiting, each reply may take as many budgets.
        shared.quick_replies.learn(took <= shared.budget * (waiting as u32 + 1));
        match (waiting > 0, shared.quick_replies.is_usual()) {
            (true, true) => shared.poll_until(now + shared.budget.as_nanos() as u64),
            (false, true) if shared.quick_callers.is_usual() => {
                shared.poll_until(now + shared.callers_budget());
            }
            _ => shared.stop(),
        }
    }

    /// A request got no reply.
    pub(super) fn failed(&self) {
        if let Some(shared) = &self.0 {
            shared.quick_replies.learn(false);
        }
    }

    /// Polls whenever `until` is set. Never returns.
    pub(super) async fn run(self) {
        let Some(shared) = &self.0 else { return std::future::pending().await };
        loop {
            shared.due.notified().await;
            while shared.nanos(Instant::now()) < shared.until.load(Ordering::Relaxed) {
                std::thread::yield_now();
                // The runtime polls its sockets before this task continues.
                tokio::task::yield_now().await;
            }
            shared.stop();
        }
    }
}

impl Shared {
    fn new(budget: Duration) -> Arc<Self> {
        Arc::new(Self {
            budget,
            started: Instant::now(),
            until: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            quick_replies: Habit::default(),
            quick_callers: Habit::default(),
            due: Notify::new(),
        })
    }

    fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_nanos() as u64
    }

    fn callers_budget(&self) -> u64 {
        self.budget.as_nanos() as u64 / 2
    }

    fn poll_until(&self, until: u64) {
        if self.until.swap(until, Ordering::Relaxed) == 0 {
            self.due.notify_one();
        }
    }

    fn stop(&self) {
        if self.until.load(Ordering::Relaxed) != 0 {
            self.until.store(0, Ordering::Relaxed);
        }
    }
}

/// Whether an event usually happens. Eight times in a row make it usual; two misses in a row make it unusual.
#[derive(Default)]
struct Habit(AtomicU32);

/// The highest score; from half of it on, the event is usual.
const HIGHEST: u32 = 16;

impl Habit {
    fn learn(&self, happened: bool) {
        let score = self.0.load(Ordering::Relaxed);
        let next = if happened { (score + 1).min(HIGHEST) } else { score / 2 };
        if next != score {
            self.0.store(next, Ordering::Relaxed);
        }
    }

    fn is_usual(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= HIGHEST / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(budget: Duration) -> (BusyPoll, Arc<Shared>) {
        let shared = Shared::new(budget);
        (BusyPoll(Some(Arc::clone(&shared))), shared)
    }

    fn polls(shared: &Shared) -> bool {
        shared.until.load(Ordering::Relaxed) > 0
    }

    /// Serves `times` requests, one at a time: each reply comes after `took`, the next request after `pause`.
    fn serve(busy: &BusyPoll, shared: &Shared, times: u32, took: Duration, pause: Duration) -> Instant {
        let mut now = shared.started + Duration::from_secs(1);
        for _ in 0..times {
            busy.sent(now, 1);
            now += took;
            busy.answered(now, took, 0);
            now += pause;
        }
        now
    }

    const BUDGET: Duration = Duration::from_micros(500);
    const QUICK: Duration = Duration::from_micros(100);
    const SLOW: Duration = Duration::from_millis(5);

    #[test]
    fn it_polls_if_replies_and_callers_were_quick() {
        let (busy, shared) = busy(BUDGET);
        serve(&busy, &shared, 7, QUICK, QUICK);
        assert!(!polls(&shared), "too few requests were quick");

        let now = serve(&busy, &shared, 2, QUICK, QUICK);

        assert!(polls(&shared), "for the next request");
        busy.sent(now, 1);
        assert!(polls(&shared), "for its reply");
    }

    #[test]
    fn it_never_polls_if_the_work_takes_long() {
        let (busy, shared) = busy(BUDGET);

        let now = serve(&busy, &shared, 100, SLOW, QUICK);

        busy.sent(now, 1);
        assert!(!polls(&shared));
    }

    #[test]
    fn it_does_not_poll_for_requests_if_they_are_rare() {
        let (busy, shared) = busy(BUDGET);

        let now = serve(&busy, &shared, 100, QUICK, SLOW);

        assert!(!polls(&shared), "the next request is not expected soon");
        busy.sent(now, 1);
        assert!(polls(&shared), "its reply is");
    }

    #[test]
    fn it_stops_polling_after_two_slow_replies() {
        let (busy, shared) = busy(BUDGET);
        serve(&busy, &shared, 100, QUICK, QUICK);

        let now = serve(&busy, &shared, 2, SLOW, QUICK);

        busy.sent(now, 1);
        assert!(!polls(&shared));
    }

    #[test]
    fn it_does_not_poll_while_many_callers_wait() {
        let (busy, shared) = busy(BUDGET);
        let now = serve(&busy, &shared, 100, QUICK, QUICK);
        assert!(polls(&shared));

        busy.sent(now, MOST_WAITING + 1);

        assert!(!polls(&shared));
    }

    #[tokio::test]
    async fn it_stops_polling_at_the_end_of_the_budget() {
        let (busy, shared) = busy(Duration::from_millis(2));
        let polling = tokio::spawn(busy.clone().run());
        let mut now = Instant::now();
        for _ in 0..20 {
            busy.sent(now, 1);
            now += QUICK;
            busy.answered(now, QUICK, 0);
        }
        busy.sent(now, 1);
        assert!(polls(&shared));

        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while polls(&shared) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });

        waited.await.expect("it ends");
        polling.abort();
    }

    #[tokio::test]
    async fn it_is_off_without_a_budget() {
        assert!(BusyPoll::new(Duration::ZERO).0.is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_off_in_a_runtime_with_several_threads() {
        assert!(BusyPoll::new(BUDGET).0.is_none());
    }

    #[test]
    fn it_stops_polling_after_two_requests_without_a_reply() {
        let (busy, shared) = busy(BUDGET);
        let now = serve(&busy, &shared, 100, QUICK, QUICK);

        (0..2).for_each(|_| busy.failed());

        shared.stop();
        busy.sent(now, 1);
        assert!(!polls(&shared));
    }
}
