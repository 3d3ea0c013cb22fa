//! Redis goes away and comes back: what callers and probes see meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{Process, ask, client, ingress, proxy};

/// How long callers wait here.
const DEADLINE: Duration = Duration::from_secs(5);

/// How fast an open circuit answers, at the median.
const FAST: Duration = Duration::from_millis(5);

/// How soon everything works again, from the moment Redis answers.
const RECOVERY: Duration = Duration::from_secs(5);

async fn circuit_is_open(ingress: &Process) -> bool {
    let health = client().get(ingress.url(0, "/healthz")).send().await.expect("an answer");
    health.json::<Value>().await.expect("JSON")["redis"]["circuit"] == "open"
}

/// Asks `/livez` all the time until `over`; returns how often it was 200.
async fn stays_alive(ingress: &Process, over: &AtomicBool) -> usize {
    let client = client();
    let mut alive = 0;
    while !over.load(Ordering::Relaxed) {
        for nth in [0, 1] {
            let answer = client.get(ingress.url(nth, "/livez")).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
            alive += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    alive
}

async fn is_said_so_and_found_again(stop: fn(&mut RedisServer), start: fn(&mut RedisServer)) {
    let mut server = RedisServer::start_durable();
    let ingress = ingress(&server, &[("REQUEST_TIMEOUT", "5s")]).await;
    let _proxy = proxy(&server, "w1", &[]).await;
    let (client, over) = (client(), AtomicBool::new(false));
    assert_eq!(ask(&client, &ingress, "Oslo").await.0, 200);

    let story = async {
        stop(&mut server);

        // Those who come before the circuit opens: within their deadline.
        while !circuit_is_open(&ingress).await {
            let asked = Instant::now();
            let calls = (0..8).map(|_| ask(&client, &ingress, "Oslo"));
            for (status, problem) in futures_util::future::join_all(calls).await {
                assert!(matches!(status, 503 | 504), "{problem}");
            }
            assert!(asked.elapsed() < DEADLINE + Duration::from_secs(1), "{:?}", asked.elapsed());
        }

        // Those who come after: at once.
        let mut took = Vec::new();
        for _ in 0..401 {
            let asked = Instant::now();
            let (status, problem) = ask(&client, &ingress, "Oslo").await;
            took.push(asked.elapsed());
            assert_eq!(status, 503, "{problem}");
        }
        took.sort();
        assert!(took[200] < FAST, "median {:?}, slowest {:?}", took[200], took[400]);

        start(&mut server);
        let back = Instant::now();
        eventually_async("callers are served", async || ask(&client, &ingress, "Oslo").await.0 == 200).await;
        assert!(back.elapsed() < RECOVERY, "{:?}", back.elapsed());
        over.store(true, Ordering::Relaxed);
    };
    let ((), alive) = tokio::join!(story, stays_alive(&ingress, &over));

    assert!(alive > 20, "it was asked throughout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_is_reported_and_reconnected_without_a_restart() {
    is_said_so_and_found_again(RedisServer::kill, RedisServer::restart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_redis_is_reported_and_reconnected_without_a_restart() {
    is_said_so_and_found_again(|server| server.pause(), |server| server.resume()).await;
}
