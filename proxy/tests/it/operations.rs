//! The API on `:5010` of a running worker with a real Redis.

use reqwest::Method;
use reqwest::header::CACHE_CONTROL;
use serde_json::{Value, json};
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{Proxy, REPLIES, REQUESTS, TOKEN, add, add_request, metric};
use crate::open_meteo::stub::{Answer, Stub, berlin};

#[tokio::test]
async fn the_health_report_names_the_worker_and_unready_parts() {
    let mut server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;

    let report = proxy.get("/healthz").await.json();

    assert_eq!((&report["status"], &report["service"]), (&"ok".into(), &"proxy".into()), "{report}");
    assert_eq!((&report["worker"], &report["provider"]), (&"w1".into(), &"simulated".into()), "{report}");
    assert_eq!(report["redis"]["circuit"], "closed", "{report}");
    assert_eq!(report["notReady"], Value::Array(Vec::new()), "{report}");
    assert!(report.get("upstream").is_none(), "simulated weather calls no service: {report}");

    server.kill();

    eventually_async("the loss of Redis is reported", async || {
        let answer = proxy.get("/healthz").await;
        answer.status == 503 && answer.text.contains("degraded") && answer.text.contains("\"redis\"")
    })
    .await;
    assert_eq!(proxy.get("/livez").await.status, 200, "a restart would not repair Redis");
    proxy.get(&format!("/streams/{REQUESTS}")).await.assert_problem(503);
    proxy.get("/dead-letters").await.assert_problem(503);
}

#[tokio::test]
async fn a_failing_weather_service_leaves_a_degraded_worker_ready() {
    let server = RedisServer::start();
    let stub = Stub::start(|_| berlin(), |_| Answer::status(500)).await;
    let proxy = Proxy::ready(
        &server,
        &[
            "--weather-provider",
            "open-meteo",
            "--open-meteo-forecast-url",
            &stub.forecast_url,
            "--open-meteo-geocoding-url",
            &stub.geocoding_url,
        ],
    )
    .await;
    let upstream = r#"weather_upstream_circuit_state{endpoint="forecast"}"#;
    let before = proxy.get("/healthz").await.json();
    assert_eq!(before["upstream"], json!({"geocoding": "closed", "forecast": "closed"}), "{before}");
    assert_eq!(metric(&proxy.get("/metrics").await.text, upstream), Some(0.0));

    // Five failures open the circuit. Requests for one place at the same time share up to three tries.
    let mut report = Value::Null;
    for answered in 1..=2 {
        add_request(&server);
        eventually_async("the request gets a reply", async || {
            server.command::<u64>(&["XLEN", REPLIES]) == answered
        })
        .await;
    }
    eventually_async("the circuit opens", async || {
        report = proxy.get("/healthz").await.json();
        report["upstream"]["forecast"] == "open"
    })
    .await;

    assert_eq!((&report["status"], &report["upstream"]["geocoding"]), (&"degraded".into(), &"closed".into()));
    assert_eq!(report["notReady"], json!([]), "{report}");
    assert_eq!(metric(&proxy.get("/metrics").await.text, upstream), Some(2.0));
    assert_eq!(proxy.get("/readyz").await.status, 200, "another worker would have the same problem");
    let asked = stub.forecast.count();
    eventually_async("the circuit is half open", async || {
        report = proxy.get("/healthz").await.json();
        report["upstream"]["forecast"] == "half-open"
    })
    .await;
    assert_eq!(report["status"], "ok", "{report}");
    assert_eq!(metric(&proxy.get("/metrics").await.text, upstream), Some(1.0), "without any request");
    assert_eq!(stub.forecast.count(), asked);
}

#[tokio::test]
async fn a_configured_stream_is_shown_with_its_groups() {
    let server = RedisServer::start();
    let proxy = Proxy::ready(&server, &[]).await;
    let id = add_request(&server);

    let path = format!("/streams/{REQUESTS}");
    eventually_async("the request is done", async || {
        let stream = proxy.get(&path).await.json();
        let group = &stream["groups"][0];
        group["lag"] == 0 && group["pending"] == 0
    })
    .await;

    let stream = proxy.get(&path).await.json();
    assert_eq!((&stream["name"], &stream["length"]), (&REQUESTS.into(), &1.into()), "{stream}");
    assert_eq!((&stream["first"], &stream["last"]["id"]), (&stream["last"], &id.as_str().into()), "{stream}");
    assert_eq!(stream["last"]["fieldSizes"]["body"], r#"{"city":"Berlin"}"#.len(), "{stream}");
    let group = &stream["groups"][0];
    assert_eq!((&group["name"], &group["abandoned"]), (&"weather-workers".into(), &false.into()), "{group}");
    assert_eq!((&group["lastDeliveredId"], &group["oldestAgeSeconds"]), (&id.into(), &0.0.into()), "{group}");
    let consumer = &group["consumers"][0];
    assert_eq!((&consumer["name"], &consumer["alive"]), (&"w1".into(), &true.into()), "{consumer}");
    let replies = proxy.get(&format!("/streams/{REPLIES}")).await.json();
    assert_eq!((&replies["length"], &replies["last"]["fieldSizes"]["status"]), (&1.into(), &3.into()));
}

#[tokio::test]
async fn only_the_token_shows_the_values_of_fields() {
    let server = RedisServer::start();
    let guarded = Proxy::ready(&server, &["--admin-token", TOKEN]).await;
    let off = Proxy::ready(&server, &["--worker-name", "w2"]).await;
    add_request(&server);
    let path = format!("/streams/{REQUESTS}");

    let with_token = guarded.send(guarded.request(Method::GET, &path).bearer_auth(TOKEN)).await;
    let wrong = guarded.send(guarded.request(Method::GET, &path).bearer_auth("wrong")).await;
    let without =
        [(guarded.get(&path).await, "Bearer <ADMIN_TOKEN>"), (off.get(&path).await, "set ADMIN_TOKEN")];

    assert_eq!(with_token.headers[CACHE_CONTROL], "no-store");
    let shown = with_token.json();
    assert_eq!(shown["last"]["fields"]["body"], r#"{"city":"Berlin"}"#, "{shown}");
    assert!(shown.get("note").is_none() && shown["last"].get("fieldSizes").is_none(), "{shown}");
    wrong.assert_problem(401);
    for (answer, advice) in without {
        assert!(answer.status == 200 && !answer.text.contains("Berlin"), "{answer:?}");
        let shown = answer.json();
        assert_eq!(shown["first"]["fieldSizes"]["body"], 17, "{shown}");
        assert!(shown["note"].as_str().is_some_and(|note| note.contains(advice)), "{shown}");
    }
}

#[tokio::test]
async fn a_lane_is_shown_even_if_it_has_never_had_an_entry() {
    let server = RedisServer::start();
    let proxy = Proxy::ready(&server, &[]).await;
    add(&server, "weather-responses.a", &["status", "200"]);

    for (lane, length) in [("weather-responses.a", 1), ("weather-responses.b", 0)] {
        let stream = proxy.get(&format!("/streams/{lane}")).await.json();
        assert_eq!((&stream["name"], &stream["length"]), (&lane.into(), &length.into()), "{stream}");
    }
    let dead_letters = proxy.get("/streams/%7Bweather-requests%7D:dlq").await.json();
    assert_eq!((&dead_letters["length"], &dead_letters["last"]), (&0.into(), &Value::Null));
}

#[tokio::test]
async fn a_stream_that_is_not_configured_is_refused() {
    let server = RedisServer::start();
    let proxy = Proxy::ready(&server, &[]).await;
    add(&server, "orders", &["a", "b"]);

    for name in ["orders", "weather-responsesx", "weather-responses.", "weather-requests.a"] {
        proxy.get(&format!("/streams/{name}")).await.assert_problem(404);
    }
    proxy.get("/streams/%ff").await.assert_problem(400);
    assert_eq!(proxy.get("/streams").await.json()[0]["name"], REQUESTS);
    proxy.ask(Method::POST, &format!("/streams/{REQUESTS}")).await.assert_problem(405);
}

#[tokio::test]
async fn the_metrics_show_work_and_streams() {
    let server = RedisServer::start();
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "100000000"]);
    let proxy = Proxy::ready(&server, &["--housekeeping-period", "100ms"]).await;
    add_request(&server);

    eventually_async("the work is counted and the gauges are fresh", async || {
        let answer = proxy.get("/metrics").await;
        assert_eq!(answer.status, 200);
        assert!(
            answer.headers["content-type"].to_str().expect("text").starts_with("text/plain; version=0.0.4")
        );
        let has = |expected| answer.text.lines().any(|line| line == expected);
        has("streamgate_replies_total{stream=\"weather-requests\",group=\"weather-workers\"} 1")
            && has("streamgate_stream_length{stream=\"weather-requests\"} 1")
            && has("streamgate_group_pending{stream=\"weather-requests\",group=\"weather-workers\"} 0")
            && has("streamgate_request_timeout_seconds{stream=\"weather-requests\"} 30")
            && has("streamgate_in_flight_limit{stream=\"weather-requests\",group=\"weather-workers\"} 256")
            && has("streamgate_redis_memory_limit_bytes 100000000")
            && answer.text.lines().any(|line| {
                let used = line.strip_prefix("streamgate_redis_memory_bytes ");
                used.is_some_and(|used| used.parse::<f64>().is_ok_and(|used| used > 100_000.0))
            })
    })
    .await;
}

#[tokio::test]
async fn large_requests_are_trimmed_before_the_next_tick() {
    let server = RedisServer::start();
    let flags = ["--housekeeping-period", "1h", "--retention-bytes", "4000000"];
    let _proxy = Proxy::ready(&server, &flags).await;
    let body = "x".repeat(1 << 20);
    let id = "0191f3a0-0000-7000-8000-000000000000";

    for _ in 0..40 {
        add(&server, REQUESTS, &["id", id, "reply_to", REPLIES, "body", &body]);
    }

    eventually_async("at most 20 entries of 1 MiB are left", async || {
        server.command::<u64>(&["XLEN", REQUESTS]) <= 4 + 16
    })
    .await;
}

#[tokio::test]
async fn a_live_group_has_an_unread_age_and_a_pending_age() {
    let server = RedisServer::start();
    let proxy = Proxy::ready(&server, &["--housekeeping-period", "100ms"]).await;
    server.command::<()>(&["XGROUP", "CREATE", REQUESTS, "audit", "$"]);
    add_request(&server);
    server.command::<()>(&["XREADGROUP", "GROUP", "audit", "a1", "STREAMS", REQUESTS, ">"]);
    let gauge = async |name: &str| {
        let scrape = proxy.get("/metrics").await.text;
        let start = format!("streamgate_group_{name}{{stream=\"{REQUESTS}\",group=\"audit\"}} ");
        scrape.lines().find_map(|line| line.strip_prefix(&start)?.parse::<f64>().ok())
    };

    eventually_async("a pending entry has an age", async || {
        gauge("oldest_pending_age_seconds").await > Some(0.0)
            && gauge("oldest_unread_age_seconds").await == Some(0.0)
    })
    .await;
    add_request(&server);
    eventually_async("an unread entry has a smaller age", async || {
        gauge("oldest_unread_age_seconds").await > Some(0.0)
            && gauge("oldest_pending_age_seconds").await > gauge("oldest_unread_age_seconds").await
    })
    .await;

    server.command::<()>(&["XGROUP", "DESTROY", REQUESTS, "audit"]);

    eventually_async("all gauges of the destroyed group are 0", async || {
        gauge("pending").await == Some(0.0)
            && gauge("oldest_pending_age_seconds").await == Some(0.0)
            && gauge("oldest_age_seconds").await == Some(0.0)
    })
    .await;
}
