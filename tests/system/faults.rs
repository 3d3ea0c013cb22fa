use nix::sys::signal::Signal;
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{ask, client, held_by, holder, ingress, metric, pending, proxy};

const SLOW: [(&str, &str); 1] = [("SIMULATED_LATENCY", "20s")];

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
async fn a_worker_stopped_and_continued_acknowledges_nothing_it_lost() {
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
