use streamgate::testing::{RedisServer, eventually_async};
use weather::Forecast;

use crate::harness::{ask, ask_many, client, greeter, ingress, pending, proxy};

#[tokio::test]
async fn a_forecast_crosses_both_streams_and_comes_back_as_documented() {
    let server = RedisServer::start();
    let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &[]).await);
    let body = r#"{"city":"New York","location":"Downtown"}"#;

    let sent = client()
        .post(ingress.url(0, "/WeatherForecast/city"))
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .expect("an answer");

    assert_eq!(sent.status(), 200);
    let id = sent.headers()["x-request-id"].to_str().expect("text").to_owned();
    let forecast: Forecast = sent.json().await.expect("the documented JSON");
    assert_eq!((forecast.city.as_str(), forecast.location.as_deref()), ("New York", Some("Downtown")));
    assert_eq!(forecast.request_id.to_string(), id);
    let requests: Vec<(String, Vec<String>)> = server.command(&["XRANGE", "weather-requests", "-", "+"]);
    let replies: Vec<(String, Vec<String>)> = server.command(&["XRANGE", "weather-responses", "-", "+"]);
    assert_eq!((requests.len(), replies.len()), (1, 1));
    assert_eq!(requests[0].1[..2], ["id", &id]);
    assert!(requests[0].1.contains(&body.to_owned()), "{requests:?}");
    assert_eq!(replies[0].1[..4], ["id", &id, "status", "200"]);
}

#[tokio::test]
async fn a_thousand_callers_at_once_each_get_their_own_city() {
    let server = RedisServer::start();
    let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &[]).await);

    ask_many(&ingress, 1_000).await;

    eventually_async("everything is acknowledged", async || pending(&server) == 0).await;
}

#[tokio::test]
async fn two_replicas_and_three_workers_send_each_reply_to_its_caller() {
    let server = RedisServer::start();
    // A machine that stands still for a second must not make a redelivery or a refusal.
    let calm = [("CLAIM_MIN_IDLE", "12s"), ("REDIS_RESPONSE_TIMEOUT", "12s")];
    let _workers = [
        proxy(&server, "w1", &calm).await,
        proxy(&server, "w2", &calm).await,
        proxy(&server, "w3", &calm).await,
    ];
    let shared = [ingress(&server, &calm[1..]).await, ingress(&server, &calm[1..]).await];
    let named = ingress(&server, &[calm[1], ("INGRESS_REPLICA", "pod-7")]).await;

    tokio::join!(ask_many(&shared[0], 200), ask_many(&shared[1], 200), ask_many(&named, 200));

    assert_eq!(server.ids_on("weather-responses").len(), 400);
    assert_eq!(server.ids_on("weather-responses.pod-7").len(), 200);
}

#[tokio::test]
async fn a_custom_worker_answers_in_the_proxys_place() {
    let server = RedisServer::start();
    let ingress = ingress(&server, &[]).await;
    let _greeter = greeter(&server);

    let (status, answer) = ask(&client(), &ingress, "Oslo").await;

    assert_eq!((status, answer["youSent"].as_str()), (200, Some(r#"{"city":"Oslo"}"#)), "{answer}");
}

#[tokio::test]
async fn bad_input_reaches_no_stream() {
    let server = RedisServer::start();
    let ingress = ingress(&server, &[]).await;

    let (status, problem) = ask(&client(), &ingress, "  ").await;

    assert_eq!((status, problem["errors"][0]["field"].as_str()), (422, Some("city")), "{problem}");
    assert_eq!(server.command::<u64>(&["XLEN", "weather-requests"]), 0);
}
