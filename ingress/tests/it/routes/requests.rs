//! Which requests reach a worker, and what of them.

use reqwest::Method;
use serde_json::json;
use streamgate::testing::RedisServer;

use super::fixture::{Echo, RoutesFile, order, post, route, stored_on};
use crate::harness::{BERLIN, Ingress, Worker, send};

#[tokio::test]
async fn a_worker_gets_method_path_query_and_chosen_headers() {
    let server = RedisServer::start();
    let more = "delivery: at-most-once\nrequest: {headers: [accept-language, x-tenant]}";
    let file =
        RoutesFile::with(&format!("routes:\n{}", route("put-order", "PUT", "/orders/{id}", "orders", more)));
    let echo = Echo::on(&server, "orders").await;
    let ingress = file.serve(&server, &[]).await;

    let request = ingress.request(Method::PUT, "/orders/a%20b?draft=1&x=%C3%A9").body("hello");
    let request =
        request.header("content-type", "text/plain; charset=utf-8").header("idempotency-key", "k-1");
    let request = request.header("accept-language", "de").header("x-tenant", "t1").header("x-tenant", "t2");
    let answer = send(request.header("x-secret", "s").header("cookie", "c=1").header("te", "trailers")).await;

    assert_eq!((answer.status, answer.text.as_str()), (200, "hello"), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let timing = answer.header("server-timing").expect("the times");
    assert!(timing.starts_with("queue;dur="), "{timing}");
    let head = echo.last();
    assert_eq!((head.route.as_str(), head.method.as_str()), ("put-order", "PUT"));
    assert_eq!(head.target, "/orders/a%20b?draft=1&x=%C3%A9");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(head.headers, [pair("accept-language", "de"), pair("x-tenant", "t1"), pair("x-tenant", "t2")]);
    assert_eq!((head.idempotency_key.as_deref(), head.at_most_once), (Some("k-1"), true));
}

#[tokio::test]
async fn requests_without_a_route_get_404_or_405() {
    let server = RedisServer::start();
    let routes = [
        route("get", "GET", "/orders/{id}", "orders", ""),
        route("delete", "DELETE", "/orders/{id}", "orders", ""),
        route("new", "POST", "/orders/new", "orders", ""),
        route("rest", "GET", "/files/{*rest}", "orders", ""),
    ];
    let file = RoutesFile::with(&format!("routes:\n{}", routes.concat()));
    let echo = Echo::on(&server, "orders").await;
    let ingress = file.serve(&server, &[]).await;

    for path in ["/nothing", "/orders", "/orders/1/2", "/files/", "/WeatherForecast/city"] {
        ingress.get(path).await.assert_problem(404);
    }
    let refused = send(ingress.request(Method::POST, "/orders/7")).await;
    refused.assert_problem(405);
    assert_eq!(refused.header("allow"), Some("DELETE, GET, HEAD, OPTIONS"));
    let literal = send(ingress.request(Method::GET, "/orders/new")).await;
    assert_eq!((literal.status, literal.header("allow")), (405, Some("OPTIONS, POST")));
    for path in ["/files/../admin", "/files/%2e%2E/admin", "/files/a/."] {
        let raw = raw_get(&ingress, path).await;
        assert!(raw.starts_with("HTTP/1.1 400"), "{path}: {raw}");
    }
    assert_eq!(ingress.get("/files/a/b.txt?v=1").await.status, 200);
    assert_eq!(echo.last().target, "/files/a/b.txt?v=1");
    assert_eq!(ingress.get("/").await.status, 307, "the page of the API");
    assert_eq!(echo.count(), 1);
}

/// Sends a path as it is; a client would resolve it.
async fn raw_get(ingress: &Ingress, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut connection = tokio::net::TcpStream::connect(ingress.api).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("read");
    answer
}

#[tokio::test]
async fn a_body_that_breaks_its_schema_gets_400_with_pointers() {
    let server = RedisServer::start();
    let more = "request: {schema: order.json, body_limit: 4KiB}";
    let file = RoutesFile::with("routes: []");
    file.add(
        "order.json",
        &json!({"type": "object", "required": ["item"], "properties": {"quantity": {"minimum": 1}}})
            .to_string(),
    );
    file.write(&format!("routes:\n{}", route("order", "POST", "/orders", "orders", more)));
    let _echo = Echo::on(&server, "orders").await;
    let ingress = file.serve(&server, &[]).await;

    let refused = post(&ingress, "/orders", &json!({"quantity": 0})).await;
    refused.assert_problem(400);
    let errors = refused.json()["errors"].clone();
    let pointers: Vec<&str> =
        errors.as_array().expect("a list").iter().filter_map(|e| e["pointer"].as_str()).collect();
    assert!(pointers.contains(&"/quantity") && pointers.contains(&""), "{errors}");
    let many =
        send(ingress.request(Method::POST, "/orders").header("content-type", "application/json").body("{"))
            .await;
    many.assert_problem(400);
    let deep = "[".repeat(200) + &"]".repeat(200);
    let deep =
        send(ingress.request(Method::POST, "/orders").header("content-type", "application/json").body(deep))
            .await;
    deep.assert_problem(400);
    let gzip = ingress.request(Method::POST, "/orders").header("content-type", "application/json");
    send(gzip.header("content-encoding", "gzip").body("x")).await.assert_problem(415);
    assert_eq!(stored_on(&server, "orders"), 0, "Redis was not asked");

    assert_eq!(post(&ingress, "/orders", &order(1)).await.status, 200);
}

#[tokio::test]
async fn media_types_and_sizes_are_those_of_the_route() {
    let server = RedisServer::start();
    let more = "request: {content_types: [image/*, application/json], body_limit: 1KiB}";
    let routes = [
        route("image", "[POST, DELETE]", "/images", "images", more),
        route("any", "POST", "/any", "images", ""),
    ];
    let file = RoutesFile::with(&format!("routes:\n{}", routes.concat()));
    let echo = Echo::on(&server, "images").await;
    let ingress = file.serve(&server, &[]).await;
    let send_as = async |path: &str, kind: Option<&str>, body: Vec<u8>| {
        let request = ingress.request(Method::POST, path).body(body);
        send(kind.into_iter().fold(request, |request, kind| request.header("content-type", kind))).await
    };

    assert_eq!(send_as("/images", Some("image/png"), vec![0xff; 1_024]).await.status, 200);
    for kind in [Some("text/plain"), Some("imagepng"), None] {
        let refused = send_as("/images", kind, b"x".to_vec()).await;
        refused.assert_problem(415);
        assert_eq!(refused.header("accept"), Some("image/*, application/json"), "{kind:?}");
    }
    send_as("/images", Some("image/png"), vec![0; 1_025]).await.assert_problem(413);
    assert_eq!(send(ingress.request(Method::DELETE, "/images")).await.status, 200, "no body, no media type");
    let unknown = send_as("/any", None, b"x".to_vec()).await;
    assert_eq!(unknown.header("content-type"), Some("application/octet-stream"), "{unknown:?}");
    let encoded = ingress.request(Method::POST, "/any").header("content-encoding", "gzip").body("gzipped");
    assert_eq!(send(encoded).await.text, "gzipped", "a body that nobody reads is passed on as it is");
    assert_eq!(echo.last().headers, [("content-encoding".to_owned(), "gzip".to_owned())]);
}

#[tokio::test]
async fn a_missing_or_strange_idempotency_key_gets_400() {
    let server = RedisServer::start();
    let file = RoutesFile::with(&format!("routes:\n{}", route("a", "POST", "/a", "a", "")));
    let echo = Echo::on(&server, "a").await;
    let ingress = file.serve(&server, &[]).await;
    let with = |key: &str| send(ingress.request(Method::POST, "/a").header("idempotency-key", key).body("x"));

    for key in ["a b", "", &"k".repeat(256)] {
        with(key).await.assert_problem(400);
    }
    assert_eq!(with(&"k".repeat(255)).await.status, 200);
    assert_eq!(echo.last().idempotency_key, Some("k".repeat(255)));
}

#[tokio::test]
async fn a_route_of_the_weather_is_served_as_without_a_file() {
    let server = RedisServer::start();
    let weather = "  - id: weather\n    match: {method: POST, path: /weather}\n    stream: weather-requests\n    group: weather-workers\n    handler: weather\n";
    let file = RoutesFile::with(&format!("routes:\n{weather}"));
    let _worker = Worker::start(&server).await;
    let ingress = file.serve(&server, &[]).await;
    let ask = |body: &'static str| {
        send(ingress.request(Method::POST, "/weather").header("content-type", "application/json").body(body))
    };

    let forecast = ask(BERLIN).await;
    assert_eq!(forecast.json()["request"], json!({"city": "Berlin"}), "in normal form");
    ask(r#"{"city":""}"#).await.assert_problem(422);
}

#[tokio::test]
async fn two_hundred_routes_are_served_by_one_ingress() {
    let server = RedisServer::start();
    let routes: String = (0..200)
        .map(|n| route(&format!("r{n}"), "POST", &format!("/r{n}/{{id}}"), &format!("s{}", n % 20), ""))
        .collect();
    let file = RoutesFile::with(&format!("routes:\n{routes}"));
    let mut workers = Vec::new();
    for n in 0..20 {
        workers.push(Echo::on(&server, &format!("s{n}")).await);
    }
    let ingress = file.serve(&server, &["--ingress-replica", "a"]).await;

    let answers = (0..200).map(|n| {
        let request = ingress.request(Method::POST, &format!("/r{n}/7")).body(format!("body {n}"));
        async move { (n, send(request).await) }
    });
    for (n, answer) in futures_util::future::join_all(answers).await {
        assert_eq!((answer.status, answer.text), (200, format!("body {n}")));
    }

    let handled: Vec<usize> = workers.iter().map(Echo::count).collect();
    assert_eq!(handled, [10; 20]);
    let lanes: Vec<String> = server.command(&["KEYS", "weather-responses*"]);
    assert_eq!(lanes, ["weather-responses.a"], "one reply lane for all routes");
}
