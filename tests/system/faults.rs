use nix::sys::signal::Signal;
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{Process, ask, client, ingress, pending, proxy};

const SLOW: [(&str, &str); 1] = [("SIMULATED_LATENCY", "20s")];

/// Who holds the only pending entry.
fn holder(server: &RedisServer) -> Option<String> {
    let command = ["XPENDING", "weather-requests", "weather-workers", "-", "+", "1"];
    let mut cmd = redis::cmd(command[0]);
    command[1..].iter().for_each(|word| {
        cmd.arg(*word);
    });
    let pending: Vec<(String, String, u64, u64)> = server.try_run(&cmd).ok()?;
    pending.into_iter().next().map(|(_, consumer, ..)| consumer)
}

async fn held_by(server: &RedisServer, worker: &str) {
    eventually_async("the worker holds the request", async || holder(server).as_deref() == Some(worker))
        .await;
}

async fn metric(process: &Process, name: &str) -> f64 {
    let text =
        client().get(process.url(0, "/metrics")).send().await.expect("metrics").text().await.expect("text");
    let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name)).expect("declared");
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_worker_killed_while_holding_requests_loses_none_of_them() {
    let server = RedisServer::start();
    let ingress = ingress(&server, &[]).await;
    let doomed = proxy(&server, "doomed", &SLOW).await;
    let client = client();
    let cities: Vec<String> = (0..50).map(|n| format!("City {n}")).collect();

    let answers = futures_util::future::join_all(cities.iter().map(|city| ask(&client, &ingress, city)));
    let (answers, _survivor) = tokio::join!(answers, async {
        eventually_async("the worker holds them all", async || {
            server.command::<u64>(&["EXISTS", "weather-requests"]) == 1 && pending(&server) == 50
        })
        .await;
        doomed.signal(Signal::SIGKILL);
        proxy(&server, "survivor", &[]).await
    });

    for (city, (status, forecast)) in cities.iter().zip(answers) {
        assert_eq!((status, forecast["city"].as_str()), (200, Some(city.as_str())), "{forecast}");
    }
    eventually_async("everything is acknowledged", async || pending(&server) == 0).await;
}

#[tokio::test]
async fn a_worker_that_was_stopped_and_continued_does_not_acknowledge_what_it_lost() {
    let server = RedisServer::start();
    let ingress = ingress(&server, &[]).await;
    let paused = proxy(&server, "paused", &[("SIMULATED_LATENCY", "2s")]).await;
    let client = client();

    let ((status, _), ()) = tokio::join!(ask(&client, &ingress, "Oslo"), async {
        held_by(&server, "paused").await;
        paused.signal(Signal::SIGSTOP);
        let other = proxy(&server, "other", &[("SIMULATED_LATENCY", "4s")]).await;
        held_by(&server, "other").await;
        paused.signal(Signal::SIGCONT);
        eventually_async("it learns that it lost", async || {
            metric(&paused, "streamgate_lost_leases_total").await > 0.0
        })
        .await;
        assert_eq!(holder(&server).as_deref(), Some("other"), "still the other's, not acknowledged");
        eventually_async("the other answers", async || holder(&server).is_none()).await;
        assert!((metric(&other, "streamgate_replies_total").await - 1.0).abs() < f64::EPSILON);
    });

    assert_eq!(status, 200);
    assert!(metric(&paused, "streamgate_replies_total").await.abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_redis_that_is_away_is_said_so_and_found_again_without_a_restart() {
    let mut server = RedisServer::start_durable();
    let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &[]).await);
    let client = client();

    server.kill();
    eventually_async("callers are told", async || ask(&client, &ingress, "Oslo").await.0 == 503).await;
    let live = client.get(ingress.url(0, "/livez")).send().await.expect("an answer").status();
    server.restart();
    eventually_async("callers are served", async || ask(&client, &ingress, "Oslo").await.0 == 200).await;

    assert_eq!(live, 200);
}
