//! Redis is killed under load and comes back with what its append-only file kept.

mod backups;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{Call, ask_many, call_until, ingress, metric, metric_at, proxy};
use crate::harness::{EVERYSEC, everything_is_settled};

const DEADLINE: Duration = Duration::from_secs(8);

/// How much longer than its deadline a call may take.
const MARGIN: Duration = Duration::from_secs(1);

/// How far back a server may forget what it had confirmed, in ms: it goes on for two seconds while its disk is
/// slow; and work takes its time.
const EVERYSEC_LOSES: u64 = 2_500;

const KILLS: usize = 3;
/// And at most so many, until a request has lived through one.
const MOST_KILLS: usize = 12;

/// What callers saw so far.
#[derive(Default)]
struct Calls(Mutex<Vec<Call>>);

impl Calls {
    fn add(&self, call: Call) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// How many calls of this status began after `since`.
    fn since(&self, since: Instant, status: u16) -> usize {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| call.began > since && call.status == status).count()
    }

    /// True if a call began before an outage and was answered after it.
    fn outlived(&self, outages: &[(Instant, Instant)]) -> bool {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = |call: &Call| outages.iter().any(|(from, to)| call.began < *from && *to < call.ended);
        calls.iter().any(|call| call.status == 200 && spans(call))
    }

    fn into_all(self) -> Vec<Call> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_killed_under_load_leaves_nothing_wrong_or_undone() {
    let mut server = RedisServer::start_with(&EVERYSEC);
    let timeout = ("REQUEST_TIMEOUT", "8s");
    let ingress = ingress(&server, &[timeout]).await;
    let slow = [timeout, ("SIMULATED_LATENCY", "20ms..200ms")];
    let (one, other) = tokio::join!(proxy(&server, "one", &slow), proxy(&server, "other", &slow));
    ask_many(&ingress, 1).await;
    let first = entries(&server, "weather-requests").swap_remove(0);
    let (stop, calls) = (AtomicBool::new(false), Calls::default());
    let (mut outages, mut last_second) = (Vec::new(), Vec::new());

    let kills = async {
        loop {
            let now = Instant::now();
            eventually_async("load flows", async || calls.since(now, 200) > 200).await;
            // On a busy machine it may take more kills until a request lives through one.
            if outages.len() >= KILLS && (calls.outlived(&outages) || outages.len() >= MOST_KILLS) {
                break;
            }
            last_second.push(clock(&server));
            let killed = Instant::now();
            server.kill();
            eventually_async("callers are refused", async || calls.since(killed, 503) > 0).await;
            server.restart();
            outages.push((killed, Instant::now()));
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(kills, call_until(&stop, &ingress, 48, |call| calls.add(call)));

    assert!(calls.outlived(&outages), "no request lived through an outage and was answered");
    let calls = calls.into_all();
    let answered = every_call_got_its_own_answer_or_was_told_why_not(&calls);
    assert_eq!(entries(&server, "weather-requests").swap_remove(0), first, "what was stored is there");
    everything_is_settled(&server).await;
    let given_up = metric(&one, EXPIRED).await + metric(&other, EXPIRED).await + dead_letters(&server);
    // Redis may have lost a stored reply. Its gateway read the reply before that, or answered 504 without it.
    let forgotten = |at: u64| last_second.iter().any(|kill| (kill - EVERYSEC_LOSES..=*kill).contains(&at));
    let mut unanswered = unanswered(&server);
    unanswered.retain(|(at, id)| !answered.contains(id.as_str()) && !forgotten(*at));
    assert!(unanswered.len() as f64 <= given_up, "{given_up} given up, without a reply: {unanswered:?}");
    ask_many(&ingress, 50).await;
    assert!(metric_at(&ingress, 1, "streamgate_pending_requests").await < 1.0);
}

const EXPIRED: &str = "streamgate_expired_total";

/// The ids of those that were answered.
fn every_call_got_its_own_answer_or_was_told_why_not(calls: &[Call]) -> HashSet<&str> {
    let mut ids = HashSet::new();
    for call in calls {
        let took = call.ended - call.began;
        assert!(took < DEADLINE + MARGIN, "{took:?}: {}", call.answer);
        if call.status == 200 {
            call.assert_right();
            let id = call.answer["requestId"].as_str().expect("an id");
            assert!(ids.insert(id), "answered twice: {}", call.answer);
        } else {
            assert!(matches!(call.status, 503 | 504), "{} {}", call.status, call.answer);
            assert_eq!(call.answer["status"], call.status, "{}", call.answer);
        }
    }
    ids
}

/// What the server says the time is, in ms.
fn clock(server: &RedisServer) -> u64 {
    let (seconds, micros): (u64, u64) = server.command(&["TIME"]);
    seconds * 1_000 + micros / 1_000
}

fn dead_letters(server: &RedisServer) -> f64 {
    server.command(&["XLEN", "{weather-requests}:dlq"])
}

/// The entries on the request stream that are on record as done and have no reply. Of the replies only the
/// young are kept, so only entries younger than those count.
fn unanswered(server: &RedisServer) -> Vec<(u64, String)> {
    let replies = entries(server, "weather-responses");
    let oldest = replies.first().map(|(at, _)| *at).expect("replies");
    let answered: HashSet<&str> = replies.iter().map(|(_, id)| id.as_str()).collect();
    let requests = entries(server, "weather-requests").into_iter().filter(|(at, _)| *at >= oldest);
    requests.filter(|(_, id)| !answered.contains(id.as_str())).collect()
}

/// Its id and its fields.
type Entry = (String, Vec<(String, Vec<u8>)>);

/// Of each request or reply on a stream, when it was stored (in ms) and its correlation id.
fn entries(server: &RedisServer, stream: &str) -> Vec<(u64, String)> {
    let entries: Vec<Entry> = server.command(&["XRANGE", stream, "-", "+"]);
    let ids = entries.into_iter().flat_map(|(entry, fields)| {
        let at: u64 = entry.split('-').next().and_then(|ms| ms.parse().ok()).expect("an entry id");
        fields.into_iter().filter(|(name, _)| name == "id").map(move |(_, id)| (at, id))
    });
    ids.map(|(at, id)| (at, String::from_utf8(id).expect("text"))).collect()
}
