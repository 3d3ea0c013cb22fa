//! kill -9, at each step on the way of a request.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use streamgate::testing::{Link, RedisServer, eventually_async};

use crate::harness::{Process, ask, ask_until, client, holder, ingress, metric, metric_at, pending, proxy};

const LANE: &str = "weather-responses.a";

/// Work long enough to be caught in the middle of it.
const LATENCY: (&str, &str) = ("SIMULATED_LATENCY", "2s");

/// A gateway with its own reply lane: a reply without a waiting caller counts as late there.
async fn gateway(server: &RedisServer) -> Process {
    ingress(server, &[("INGRESS_REPLICA", "a")]).await
}

/// A worker whose link to Redis the test can hold, and which does not give up meanwhile.
async fn doomed(server: &RedisServer, link: &Link) -> Process {
    let url = link.url();
    let patient = [("REDIS_URL", url.as_str()), ("CLAIM_MIN_IDLE", "15s"), ("REDIS_RESPONSE_TIMEOUT", "60s")];
    proxy(server, "doomed", &[&patient[..], &[LATENCY]].concat()).await
}

/// Another worker, started after the first one died.
async fn survivor(server: &RedisServer) -> Process {
    proxy(server, "survivor", &[]).await
}

fn replies(server: &RedisServer) -> usize {
    server.ids_on(LANE).len()
}

async fn works(worker: &Process) {
    eventually_async("the worker works", async || {
        metric(worker, "streamgate_in_flight_requests").await > 0.0
    })
    .await;
}

fn holds_something(server: &RedisServer, worker: &str) -> bool {
    let held: Vec<(String, String, u64, u64)> =
        server.command(&["XPENDING", "weather-requests", "weather-workers", "-", "+", "1", worker]);
    !held.is_empty()
}

async fn settled(server: &RedisServer) {
    eventually_async("everything is acknowledged", async || pending(server) == 0).await;
}

async fn handled(worker: &Process) -> f64 {
    metric(worker, "streamgate_handler_duration_seconds_count").await
}

#[tokio::test]
async fn a_worker_killed_between_reading_and_working_is_replaced() {
    let server = RedisServer::start();
    let (link, ingress, client) = (Link::to(&server), gateway(&server).await, client());
    let worker = doomed(&server, &link).await;

    let mut asked = 0;
    let survivor = loop {
        asked += 1;
        link.hold_replies();
        let ((status, _), replaced) = tokio::join!(ask(&client, &ingress, "Oslo"), async {
            let knows_nothing = reads_within(&server, asked, Duration::from_secs(1)).await;
            if !knows_nothing {
                // Its read had just ended when the link was held: once more.
                link.flow();
                return None;
            }
            worker.signal(Signal::SIGKILL);
            Some(survivor(&server).await)
        });
        assert_eq!(status, 200);
        settled(&server).await;
        if let Some(survivor) = replaced {
            break survivor;
        }
    };

    assert_eq!(replies(&server) as u64, asked);
    assert!((handled(&survivor).await - 1.0).abs() < f64::EPSILON);
}

/// True if the last of `asked` requests is read, on a link that does not tell, within `patience` of
/// being stored.
async fn reads_within(server: &RedisServer, asked: u64, patience: Duration) -> bool {
    let stored = || server.command::<u64>(&["XLEN", "weather-requests"]);
    eventually_async("it is stored", async || stored() >= asked).await;
    let began = Instant::now();
    eventually_async("it is read or not", async || holder(server).is_some() || began.elapsed() > patience)
        .await;
    holder(server).is_some()
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_its_work_is_replaced() {
    let server = RedisServer::start();
    let (link, ingress, client) = (Link::to(&server), gateway(&server).await, client());
    let worker = doomed(&server, &link).await;

    let ((status, _), _survivor) = tokio::join!(ask(&client, &ingress, "Oslo"), async {
        works(&worker).await;
        worker.signal(Signal::SIGKILL);
        survivor(&server).await
    });

    settled(&server).await;
    assert_eq!((status, replies(&server)), (200, 1));
}

#[tokio::test]
async fn a_worker_killed_between_its_work_and_the_reply_is_replaced() {
    let server = RedisServer::start();
    let (link, ingress, client) = (Link::to(&server), gateway(&server).await, client());
    let worker = doomed(&server, &link).await;

    let ((status, _), _survivor) = tokio::join!(ask(&client, &ingress, "Oslo"), async {
        works(&worker).await;
        link.hold();
        eventually_async("the work is over", async || handled(&worker).await > 0.0).await;
        assert_eq!((replies(&server), pending(&server)), (0, 1));
        worker.signal(Signal::SIGKILL);
        survivor(&server).await
    });

    settled(&server).await;
    assert_eq!((status, replies(&server)), (200, 1), "the work was done twice, but one reply was stored");
}

#[tokio::test]
async fn a_worker_killed_before_acknowledging_causes_one_answer() {
    let server = RedisServer::start();
    let (link, ingress, client) = (Link::to(&server), gateway(&server).await, client());
    let worker = doomed(&server, &link).await;

    // Redis stores the reply, but the worker does not learn of it.
    let ((status, forecast), ()) = tokio::join!(ask(&client, &ingress, "Oslo"), async {
        works(&worker).await;
        link.hold_replies();
    });
    assert_eq!((status, forecast["city"].as_str()), (200, Some("Oslo")), "{forecast}");
    assert_eq!((replies(&server), pending(&server)), (1, 1), "answered and not acknowledged");
    worker.signal(Signal::SIGKILL);
    let _survivor = survivor(&server).await;

    settled(&server).await;
    assert_eq!(replies(&server), 2, "the other worker could not know that the work was done");
    eventually_async("the second reply is counted", async || {
        metric_at(&ingress, 1, "streamgate_replies_late_total").await > 0.0
    })
    .await;
}

#[tokio::test]
async fn a_worker_killed_after_its_acknowledgement_leaves_nothing() {
    let server = RedisServer::start();
    let (link, ingress, client) = (Link::to(&server), gateway(&server).await, client());
    let worker = doomed(&server, &link).await;
    assert_eq!(ask(&client, &ingress, "Oslo").await.0, 200);
    settled(&server).await;

    worker.signal(Signal::SIGKILL);
    let survivor = survivor(&server).await;

    assert_eq!(ask(&client, &ingress, "Rome").await.0, 200);
    assert_eq!(replies(&server), 2);
    assert!((handled(&survivor).await - 1.0).abs() < f64::EPSILON, "the first was not done again");
}

#[tokio::test]
async fn a_killed_gateway_loses_its_callers_and_spares_its_successor() {
    let server = RedisServer::start();
    let ingress = gateway(&server).await;
    let worker = proxy(&server, "w1", &[]).await;
    let client = client();
    assert_eq!(ask(&client, &ingress, "Oslo").await.0, 200);

    worker.signal(Signal::SIGSTOP);
    let url = ingress.url(0, "/WeatherForecast/city");
    let (broken, ()) = tokio::join!(client.post(url).json(&json!({ "city": "Lost" })).send(), async {
        eventually_async("it is stored", async || server.command::<u64>(&["XLEN", "weather-requests"]) == 2)
            .await;
        ingress.signal(Signal::SIGKILL);
    });
    let successor = gateway(&server).await;
    worker.signal(Signal::SIGCONT);

    assert!(broken.is_err(), "the caller's connection broke");
    eventually_async("the reply is counted as late", async || {
        metric_at(&successor, 1, "streamgate_replies_late_total").await > 0.0
    })
    .await;
    let (status, forecast) = ask(&client, &successor, "Rome").await;
    assert_eq!((status, forecast["city"].as_str()), (200, Some("Rome")), "{forecast}");
    assert!(metric_at(&successor, 1, "streamgate_pending_requests").await < 1.0);
    settled(&server).await;
}

#[tokio::test]
async fn one_of_three_workers_killed_under_load_fails_no_call() {
    let server = RedisServer::start();
    // Two leases of 900 ms fit many times.
    let ingress = ingress(&server, &[("REQUEST_TIMEOUT", "20s")]).await;
    let latency = [("SIMULATED_LATENCY", "5ms..50ms")];
    let (doomed, second, third) = tokio::join!(
        proxy(&server, "doomed", &latency),
        proxy(&server, "second", &latency),
        proxy(&server, "third", &latency)
    );
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));

    let callers = ask_until(&stop, &answered, &ingress, 48);
    let ((), _) = tokio::join!(
        async {
            eventually_async("load flows", async || answered.load(Ordering::Relaxed) > 300).await;
            eventually_async("it is caught with something in its hands", async || {
                doomed.signal(Signal::SIGSTOP);
                let caught = holds_something(&server, "doomed");
                if !caught {
                    doomed.signal(Signal::SIGCONT);
                }
                caught
            })
            .await;
            doomed.signal(Signal::SIGKILL);
            eventually_async("what it held is taken over", async || {
                let claims = "streamgate_claims_total";
                metric(&second, claims).await + metric(&third, claims).await > 0.0
            })
            .await;
            let before = answered.load(Ordering::Relaxed);
            eventually_async("load flows on", async || answered.load(Ordering::Relaxed) > before + 300).await;
            stop.store(true, Ordering::Relaxed);
        },
        callers
    );

    settled(&server).await;
}
