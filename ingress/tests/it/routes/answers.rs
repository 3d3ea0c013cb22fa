//! What of a reply reaches the caller.

use reqwest::Method;
use serde_json::json;
use streamgate::testing::RedisServer;

use super::fixture::{Echo, RoutesFile, route};
use crate::harness::send;

#[tokio::test]
async fn every_status_reaches_the_caller_with_allowed_headers() {
    let server = RedisServer::start();
    let routes = [
        route("any", "[GET, POST]", "/any", "any", ""),
        route("cookies", "GET", "/cookies", "any", "request: {headers: [cookie]}"),
    ];
    let file = RoutesFile::with(&format!("routes:\n{}", routes.concat()));
    let _echo = Echo::on(&server, "any").await;
    let ingress = file.serve(&server, &[]).await;

    for status in [200, 201, 204, 206, 301, 302, 304, 307, 400, 404, 409, 418, 422, 429, 500, 501, 503, 599] {
        let request = ingress.request(Method::POST, &format!("/any?status={status}")).body("body");
        let answer = send(request).await;

        assert_eq!(answer.status, status, "{answer:?}");
        let has_content = !matches!(status, 204 | 304);
        assert_eq!(answer.text, if has_content { "body" } else { "" }, "{status}");
        assert_eq!(answer.header("content-type").is_some(), has_content, "{status}");
        assert_eq!((answer.header("etag"), answer.header("x-total")), (Some("\"7\""), Some("3")));
        assert_ne!(answer.header("x-request-id"), Some("forged"));
        for hidden in ["set-cookie", "server", "connection", "x-forwarded-for"] {
            assert_eq!(answer.header(hidden), None, "{status}");
        }
        assert_eq!(answer.header("retry-after").is_some(), matches!(status, 429 | 503), "{status}");
    }
    assert_eq!(
        ingress.get("/cookies").await.header("set-cookie"),
        Some("a=1"),
        "the route passes cookies on"
    );
}

#[tokio::test]
async fn head_is_get_without_the_body_and_options_lists_the_methods() {
    let server = RedisServer::start();
    let routes = [
        route("get", "GET", "/a", "a", ""),
        route("post", "POST", "/a", "a", ""),
        route("options", "OPTIONS", "/own", "a", ""),
    ];
    let file = RoutesFile::with(&format!("routes:\n{}", routes.concat()));
    let echo = Echo::on(&server, "a").await;
    let ingress = file.serve(&server, &[]).await;

    let head = send(ingress.request(Method::HEAD, "/a?reply=%7B%7D")).await;
    assert_eq!((head.status, head.text.as_str(), head.header("etag")), (200, "", Some("\"7\"")));
    assert_eq!((echo.last().method.as_str(), echo.last().route.as_str()), ("HEAD", "get"));
    let options = send(ingress.request(Method::OPTIONS, "/a")).await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET, HEAD, OPTIONS, POST")));
    assert_eq!(echo.count(), 1, "the gateway answers OPTIONS");
    assert_eq!(send(ingress.request(Method::OPTIONS, "/own")).await.status, 200);
    assert_eq!(echo.last().method, "OPTIONS", "unless a route serves it");
    send(ingress.request(Method::OPTIONS, "/none")).await.assert_problem(404);
}

#[tokio::test]
async fn a_reply_that_breaks_its_schema_is_counted_or_refused() {
    let server = RedisServer::start();
    let file = RoutesFile::with("routes: []");
    file.add("n.json", &json!({"type": "integer"}).to_string());
    let rules = |check: &str| format!("reply: {{schema: n.json, check: {check}}}");
    let routes =
        ["off", "log", "enforce"].map(|check| route(check, "POST", &format!("/{check}"), "a", &rules(check)));
    file.write(&format!("routes:\n{}", routes.concat()));
    let _echo = Echo::on(&server, "a").await;
    let ingress = file.serve(&server, &[]).await;
    let ask = |path: String| send(ingress.request(Method::POST, &path).body("x"));

    for (path, good, bad) in [("/off", 200, 200), ("/log", 200, 200), ("/enforce", 200, 502)] {
        assert_eq!(ask(format!("{path}?reply=1")).await.status, good, "{path}");
        assert_eq!(ask(format!("{path}?reply=x")).await.status, bad, "{path}");
        assert_eq!(
            ask(format!("{path}?reply=x&status=404")).await.status,
            404,
            "{path}: errors are not checked"
        );
    }
    let metrics = ingress.get_admin("/metrics").await.text;
    for (route, count) in [("off", 0), ("log", 1), ("enforce", 1)] {
        let line = format!("http_replies_off_schema_total{{route=\"{route}\"}} {count}");
        assert!(metrics.contains(&line), "no {line} in\n{metrics}");
    }
}

#[tokio::test]
async fn a_stream_without_a_worker_refuses_only_its_own_requests() {
    let server = RedisServer::start();
    let slow = route("slow", "POST", "/slow", "served", "timeout: 100ms");
    let routes = [
        route("served", "POST", "/served", "served", ""),
        route("alone", "POST", "/alone", "alone", ""),
        slow,
    ];
    let file = RoutesFile::with(&format!("routes:\n{}", routes.concat()));
    let echo = Echo::holding(&server, "served").await;
    let ingress = file.serve(&server, &[]).await;
    let ask = |path: &str| send(ingress.request(Method::POST, path).body("x"));
    streamgate::testing::eventually_async("ingress knows that nobody works", || async {
        ask("/alone").await.status == 503
    })
    .await;

    ask("/slow").await.assert_problem(504);
    echo.release();
    assert_eq!(ask("/served").await.status, 200);
    let alone = ask("/alone").await;
    alone.assert_unavailable();
    assert!(alone.text.contains("no worker is there"), "{alone:?}");
    let metrics = ingress.get_admin("/metrics").await.text;
    for line in [
        r#"streamgate_workers_alive{stream="served"} 1"#,
        r#"streamgate_workers_alive{stream="alone"} 0"#,
        r#"streamgate_request_timeouts_total{stream="served"} 1"#,
        r#"http_requests_total{route="served",status="200"} 1"#,
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    assert_eq!(ingress.get("/healthz").await.status, 200, "one stream is served");
}
