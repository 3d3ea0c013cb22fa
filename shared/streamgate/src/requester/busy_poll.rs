use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Keeps a thread that waits for something near from going to sleep.
///
/// With one caller at a time a request spends most of its life on waking threads: about 40 µs each on
/// a virtual machine, six of them (`docs/PERFORMANCE.md`). A thread that asks its sockets again and
/// again for a moment instead is there at once when the reply comes, and the processors it would have
/// slept on are free for Redis and the worker.
///
/// It does so only where it has been worth it lately and few callers wait: while replies follow each
/// other within the budget, and between a reply and the next request where callers ask again at once.
/// Between two looks it lets other threads of its processor run (`sched_yield`).
#[derive(Clone)]
pub(super) struct BusyPoll(Option<Arc<Shared>>);

struct Shared {
    budget: Duration,
    started: Instant,
    /// Until when to go on looking, in nanoseconds since `started`.
    until: AtomicU64,
    /// When the last reply came.
    answered: AtomicU64,
    /// The next reply comes within the budget.
    quick_replies: Habit,
    /// The next request comes within half of it.
    quick_callers: Habit,
    due: Notify,
}

/// With more callers there is always something to do; measured: a gain up to 8, little at 16, none at 64.
const MOST_WAITING: usize = 8;

impl BusyPoll {
    /// Looks for up to `budget` after each event. Never, if that is zero, there is a single processor, or
    /// the runtime has threads: another of them would be asleep at the sockets.
    pub(super) fn new(budget: Duration) -> Self {
        let one_thread = |runtime: Handle| matches!(runtime.runtime_flavor(), RuntimeFlavor::CurrentThread);
        let alone = std::thread::available_parallelism().is_ok_and(|processors| processors.get() < 2);
        if budget.is_zero() || alone || !Handle::try_current().is_ok_and(one_thread) {
            Self(None)
        } else {
            Self(Some(Shared::new(budget)))
        }
    }

    /// A request was sent; with it, `waiting` callers wait.
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
            shared.go_on(now + shared.budget.as_nanos() as u64);
        }
    }

    /// A reply came after `took`; `waiting` callers go on waiting.
    pub(super) fn answered(&self, at: Instant, took: Duration, waiting: usize) {
        let Some(shared) = &self.0 else { return };
        if waiting > MOST_WAITING {
            shared.stop();
            return;
        }
        let now = shared.nanos(at);
        shared.answered.store(now, Ordering::Relaxed);
        // As many as wait come in the time that one takes.
        shared.quick_replies.learn(took <= shared.budget * (waiting as u32 + 1));
        match (waiting > 0, shared.quick_replies.is_usual()) {
            (true, true) => shared.go_on(now + shared.budget.as_nanos() as u64),
            (false, true) if shared.quick_callers.is_usual() => shared.go_on(now + shared.callers_budget()),
            _ => shared.stop(),
        }
    }

    /// A request got no reply.
    pub(super) fn failed(&self) {
        if let Some(shared) = &self.0 {
            shared.quick_replies.learn(false);
        }
    }

    /// Looks whenever there is reason to. Never returns.
    pub(super) async fn run(self) {
        let Some(shared) = &self.0 else { return std::future::pending().await };
        loop {
            shared.due.notified().await;
            while shared.nanos(Instant::now()) < shared.until.load(Ordering::Relaxed) {
                std::thread::yield_now();
                // The runtime looks at its sockets before it comes back here.
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

    fn go_on(&self, until: u64) {
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

/// Whether something mostly happens, by how it went lately: it takes eight times in a row to believe
/// in it, and two misses outweigh all of them.
#[derive(Default)]
struct Habit(AtomicU32);

const SURE: u32 = 16;

impl Habit {
    fn learn(&self, happened: bool) {
        let score = self.0.load(Ordering::Relaxed);
        let next = if happened { (score + 1).min(SURE) } else { score / 2 };
        if next != score {
            self.0.store(next, Ordering::Relaxed);
        }
    }

    fn is_usual(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= SURE / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(budget: Duration) -> (BusyPoll, Arc<Shared>) {
        let shared = Shared::new(budget);
        (BusyPoll(Some(Arc::clone(&shared))), shared)
    }

    fn looks(shared: &Shared) -> bool {
        shared.until.load(Ordering::Relaxed) > 0
    }

    /// So many requests, one at a time: each answered after `took`, the next one after `pause`.
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
    fn it_looks_where_replies_and_callers_have_been_quick() {
        let (busy, shared) = busy(BUDGET);
        serve(&busy, &shared, 7, QUICK, QUICK);
        assert!(!looks(&shared), "not before it has been worth it");

        let now = serve(&busy, &shared, 2, QUICK, QUICK);

        assert!(looks(&shared), "for the next request");
        busy.sent(now, 1);
        assert!(looks(&shared), "for its reply");
    }

    #[test]
    fn it_never_looks_where_work_takes_long() {
        let (busy, shared) = busy(BUDGET);

        let now = serve(&busy, &shared, 100, SLOW, QUICK);

        busy.sent(now, 1);
        assert!(!looks(&shared));
    }

    #[test]
    fn it_sleeps_between_callers_that_come_now_and_then() {
        let (busy, shared) = busy(BUDGET);

        let now = serve(&busy, &shared, 100, QUICK, SLOW);

        assert!(!looks(&shared), "no request is near");
        busy.sent(now, 1);
        assert!(looks(&shared), "its reply is");
    }

    #[test]
    fn two_slow_replies_end_it() {
        let (busy, shared) = busy(BUDGET);
        serve(&busy, &shared, 100, QUICK, QUICK);

        let now = serve(&busy, &shared, 2, SLOW, QUICK);

        busy.sent(now, 1);
        assert!(!looks(&shared));
    }

    #[test]
    fn it_does_not_look_while_many_wait() {
        let (busy, shared) = busy(BUDGET);
        let now = serve(&busy, &shared, 100, QUICK, QUICK);
        assert!(looks(&shared));

        busy.sent(now, MOST_WAITING + 1);

        assert!(!looks(&shared));
    }

    #[tokio::test]
    async fn looking_ends_with_the_budget() {
        let (busy, shared) = busy(Duration::from_millis(2));
        let looking = tokio::spawn(busy.clone().run());
        let mut now = Instant::now();
        for _ in 0..20 {
            busy.sent(now, 1);
            now += QUICK;
            busy.answered(now, QUICK, 0);
        }
        busy.sent(now, 1);
        assert!(looks(&shared));

        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while looks(&shared) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });

        waited.await.expect("it ends");
        looking.abort();
    }

    #[tokio::test]
    async fn without_a_budget_there_is_nothing() {
        assert!(BusyPoll::new(Duration::ZERO).0.is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn with_threads_there_is_nothing() {
        assert!(BusyPoll::new(BUDGET).0.is_none());
    }

    #[test]
    fn requests_without_a_reply_end_it() {
        let (busy, shared) = busy(BUDGET);
        let now = serve(&busy, &shared, 100, QUICK, QUICK);

        (0..2).for_each(|_| busy.failed());

        shared.stop();
        busy.sent(now, 1);
        assert!(!looks(&shared));
    }
}
