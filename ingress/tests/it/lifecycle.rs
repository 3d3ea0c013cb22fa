use std::time::Duration;

use reqwest::Method;
use streamgate::testing::{RedisServer, eventually_async};
use tokio::net::TcpStream;

use crate::harness::{BERLIN, FORECAST, Ingress, Worker, create_group};

#[tokio::test]
async fn a_request_under_way_is_finished_before_ingress_ends() {
    let server = RedisServer::start();
    let worker = Worker::holding(&server).await;
    let mut ingress = Ingress::ready(&server, &[]).await;
    let under_way = ingress.spawn_forecast();
    eventually_async("the caller waits", || async { ingress.pending().await == 1 }).await;

    ingress.stop.cancel();
    eventually_async("no connection is accepted", || async {
        TcpStream::connect(ingress.api).await.is_err()
    })
    .await;
    let ready = ingress.get_admin("/readyz").await;
    worker.release();

    assert_eq!(ready.status, 503, "the admin listener outlives the public one: {ready:?}");
    assert_eq!(under_way.await.expect("joins").status, 200);
    ingress.ended().await.expect("a clean end");
    assert!(TcpStream::connect(ingress.admin).await.is_err(), "the admin listener is still open");
}

#[tokio::test]
async fn during_the_shutdown_delay_ingress_still_serves() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &["--shutdown-delay", "1m", "--shutdown-grace", "2m"]).await;

    ingress.stop.cancel();
    eventually_async("ingress is not ready", || async { ingress.get("/readyz").await.status == 503 }).await;

    assert_eq!(ingress.forecast(BERLIN).await.status, 200);
    assert!(ingress.get("/readyz").await.text.contains("listener"));
}

#[tokio::test]
async fn a_request_that_exceeds_the_grace_is_cut_off() {
    let server = RedisServer::start();
    create_group(&server);
    let mut ingress = Ingress::ready(&server, &["--shutdown-grace", "200ms"]).await;
    // No worker is there, so this caller would wait for 30 s.
    let caller = tokio::spawn(
        ingress
            .request(Method::POST, FORECAST)
            .header("content-type", "application/json")
            .body(BERLIN)
            .send(),
    );
    eventually_async("the caller waits", || async { ingress.pending().await == 1 }).await;

    ingress.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), ingress.ended()).await;

    ended.expect("ended soon after the grace").expect("a clean end");
    assert!(caller.await.expect("joins").is_err(), "cut off without an answer");
}
