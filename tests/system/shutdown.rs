use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{ask, ask_until, client, ingress, pending, proxy};

#[tokio::test]
async fn a_worker_that_is_terminated_under_load_loses_nothing() {
    let server = RedisServer::start();
    let ingress = ingress(&server, &[]).await;
    let latency = [("SIMULATED_LATENCY", "1ms..30ms")];
    let (mut leaving, _staying) =
        (proxy(&server, "leaving", &latency).await, proxy(&server, "staying", &latency).await);
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));

    let callers = ask_until(&stop, &answered, &ingress, 32);
    let ((), _) = tokio::join!(
        async {
            eventually_async("load flows", async || answered.load(Ordering::Relaxed) > 200).await;
            leaving.signal(Signal::SIGTERM);
            eventually_async("load goes on", async || answered.load(Ordering::Relaxed) > 600).await;
            stop.store(true, Ordering::Relaxed);
        },
        callers
    );

    assert!(leaving.exit().success(), "{}", leaving.log());
    eventually_async("everything is acknowledged", async || pending(&server) == 0).await;
}

#[tokio::test]
async fn a_terminated_gateway_answers_what_it_holds_and_ends_cleanly() {
    let server = RedisServer::start();
    let mut ingress = ingress(&server, &[]).await;
    let _proxy = proxy(&server, "w1", &[("SIMULATED_LATENCY", "500ms")]).await;
    let client = client();

    let ((status, _), ()) = tokio::join!(ask(&client, &ingress, "Oslo"), async {
        eventually_async("the request is under way", async || {
            server.command::<u64>(&["EXISTS", "weather-requests"]) == 1 && pending(&server) == 1
        })
        .await;
        ingress.signal(Signal::SIGTERM);
    });

    assert_eq!(status, 200);
    assert!(ingress.exit().success(), "{}", ingress.log());
}

#[tokio::test]
async fn a_second_signal_ends_a_process_at_once() {
    let server = RedisServer::start();
    let ingress = ingress(&server, &[]).await;
    let mut proxy = proxy(&server, "w1", &[("SIMULATED_LATENCY", "25s"), ("HANDLER_TIMEOUT", "30s")]).await;
    let client = client();
    let request = tokio::spawn({
        let url = ingress.url(0, "/WeatherForecast/city");
        async move { client.post(url).json(&serde_json::json!({"city": "Oslo"})).send().await }
    });
    eventually_async("the worker holds the request", async || {
        server.command::<u64>(&["EXISTS", "weather-requests"]) == 1 && pending(&server) == 1
    })
    .await;

    proxy.signal(Signal::SIGTERM);
    eventually_async("it drains", async || proxy.log().contains("shutting down")).await;
    proxy.signal(Signal::SIGINT);

    assert_eq!(proxy.exit().code(), Some(130), "{}", proxy.log());
    request.abort();
}

#[tokio::test]
async fn an_idle_pair_of_processes_ends_cleanly_on_either_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = RedisServer::start();
        let (mut proxy, mut ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &[]).await);

        proxy.signal(signal);
        ingress.signal(signal);

        assert!(proxy.exit().success(), "{}", proxy.log());
        assert!(ingress.exit().success(), "{}", ingress.log());
    }
}
