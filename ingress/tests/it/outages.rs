use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{BERLIN, Ingress, Worker};

#[tokio::test]
async fn ingress_starts_without_redis_and_works_once_redis_starts() {
    let mut server = RedisServer::start();
    server.kill();
    let ingress = Ingress::start(&server, &[]);
    eventually_async("the circuit opens", || async { circuit(&ingress).await == "open" }).await;

    let forecast = ingress.forecast(BERLIN).await;
    let (live, ready) = (ingress.get("/livez").await, ingress.get("/readyz").await);
    let health = ingress.get("/healthz").await;
    server.restart();
    ingress.wait_until_ready().await;
    let _worker = Worker::start(&server).await;

    forecast.assert_unavailable();
    assert_eq!(live.status, 200);
    ready.assert_unavailable();
    assert!(ready.text.contains("redis"), "{ready:?}");
    assert_eq!((health.status, health.header("retry-after")), (503, Some("1")));
    assert_eq!(health.json()["status"], "degraded");
    eventually_async("requests are answered", || async { ingress.forecast(BERLIN).await.status == 200 })
        .await;
}

#[tokio::test]
async fn when_redis_dies_callers_get_503_fast_until_it_restarts() {
    let mut server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;
    assert_eq!(ingress.forecast(BERLIN).await.status, 200);

    server.kill();
    eventually_async("the circuit opens", || async { circuit(&ingress).await == "open" }).await;
    let started = std::time::Instant::now();
    ingress.forecast(BERLIN).await.assert_unavailable();
    let took = started.elapsed();
    let live = ingress.get("/livez").await;
    server.restart();

    assert!(took < std::time::Duration::from_secs(1), "{took:?}");
    assert_eq!(live.status, 200);
    eventually_async("requests are answered", || async { ingress.forecast(BERLIN).await.status == 200 })
        .await;
}

async fn circuit(ingress: &Ingress) -> String {
    ingress.get("/healthz").await.json()["redis"]["circuit"].as_str().expect("text").to_owned()
}
