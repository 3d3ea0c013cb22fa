//! The description of the operations and the Swagger page that shows it.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{Proxy, REQUESTS, TOKEN};

const DOCUMENT: &str = "/api-docs/openapi.json";

#[tokio::test]
async fn every_described_route_exists() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;

    let api = proxy.get(DOCUMENT).await.json();

    let paths = api["paths"].as_object().expect("paths");
    let mut described = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let path_of_one = path.replace("{name}", REQUESTS).replace("{id}", "1-0");
            let answer = proxy.ask(method.clone(), &path_of_one).await;
            assert!(answer.status != 405, "{method} {path}: {answer:?}");
            let status = answer.status.to_string();
            assert!(operation["responses"][status].is_object(), "{method} {path}: {answer:?}");
            described.push(format!("{method} {path}"));
        }
    }
    described.sort_unstable();
    let expected = [
        "DELETE /dead-letters/{id}",
        "GET /dead-letters",
        "GET /dead-letters/{id}",
        "GET /healthz",
        "GET /livez",
        "GET /readyz",
        "GET /streams",
        "GET /streams/{name}",
        "POST /dead-letters/discard",
        "POST /dead-letters/replay",
        "POST /dead-letters/{id}/replay",
    ];
    assert_eq!(described, expected);
}

#[tokio::test]
async fn every_location_stays_below_the_prefix_of_a_reverse_proxy() {
    let server = RedisServer::start();
    let proxy = Proxy::ready(&server, &[]).await;
    let page = proxy.get("/swagger/").await.text;
    let files: Vec<&str> = ["href=\"", "src=\""].iter().flat_map(|start| texts(&page, start)).collect();
    assert!(files.len() >= 5, "{page}");
    let initializer = proxy.get("/swagger/swagger-initializer.js").await.text;
    let document = texts(&initializer, "\"url\": \"").next().expect("a URL");
    let api = proxy.get(DOCUMENT).await.json();
    let [api_server] = &api["servers"].as_array().expect("servers")[..] else { panic!("{api}") };

    for outside in ["http://operations.example/", "https://operations.example/gw/", "https://a.example/b/c/"]
    {
        let at = |path: &str| Url::parse(&format!("{outside}{}", &path[1..])).expect("a URL");
        let resolve = |base: Url, location: &str| base.join(location).expect("a location");

        for path in ["/", "/swagger"] {
            let answer = proxy.get(path).await;
            let location = answer.headers["location"].to_str().expect("text");
            assert_eq!(answer.status, 307, "{path}");
            assert_eq!(resolve(at(path), location), at("/swagger/"), "{path}: {location}");
        }
        for file in &files {
            let url = resolve(at("/swagger/"), file);
            let inside = url.as_str().strip_prefix(outside).unwrap_or_else(|| panic!("{file} is at {url}"));
            assert_eq!(proxy.get(&format!("/{inside}")).await.status, 200, "{file}");
        }
        assert_eq!(resolve(at("/swagger/"), document), at(DOCUMENT), "{initializer}");
        let root = resolve(at(DOCUMENT), api_server["url"].as_str().expect("text"));
        assert_eq!(root, at("/"), "{api_server}");
    }
}

#[tokio::test]
async fn every_problem_has_an_example_with_its_own_status() {
    let server = RedisServer::start();
    let open = Proxy::ready(&server, &[]).await;
    let guarded = Proxy::with_admin(&server, &["--worker-name", "w2"]).await;

    for (proxy, other) in [(open, "401"), (guarded, "403")] {
        let api = proxy.get(DOCUMENT).await.json();

        let mut seen = 0;
        for (place, operation) in operations(&api) {
            let responses = operation["responses"].as_object().expect("responses");
            assert!(!responses.contains_key(other), "{place} never answers {other}");
            for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
                let problem = &response["content"]["application/problem+json"]["example"];
                if place.ends_with("/livez") || place.ends_with("/readyz") {
                    assert!(response["content"]["text/plain"]["example"].is_string(), "{place} {status}");
                } else if place.ends_with("/healthz") {
                    let report = &response["content"]["application/json"]["example"];
                    assert_eq!((&**status, &report["status"]), ("503", &json!("degraded")), "{place}");
                } else {
                    assert_eq!(problem["status"].to_string(), *status, "{place} {status}: {problem}");
                    seen += 1;
                }
            }
        }
        assert!(seen >= 30, "only {seen} examples");
    }
}

#[tokio::test]
async fn the_examples_equal_the_real_answers() {
    let mut server = RedisServer::start();
    let off = Proxy::ready(&server, &["--worker-name", "w2"]).await;
    let proxy = Proxy::ready(&server, &["--admin-token", TOKEN]).await;
    let (api, off_api) = (proxy.get(DOCUMENT).await.json(), off.get(DOCUMENT).await.json());
    let large = "x".repeat(65_537);
    let json = "application/json";

    for (method, template, path, content_type, body, statuses) in [
        ("get", "/streams/{name}", "/streams/%ff", json, "", &[400][..]),
        ("get", "/streams/{name}", "/streams/orders", json, "", &[404]),
        ("get", "/dead-letters", "/dead-letters?count=0", json, "", &[400, 401, 403]),
        ("get", "/dead-letters/{id}", "/dead-letters/x", json, "", &[400, 401, 403]),
        ("delete", "/dead-letters/{id}", "/dead-letters/1763683200000-0", json, "", &[404, 401, 403]),
        ("post", "/dead-letters/{id}/replay", "/dead-letters/1763683200000-0/replay", json, "", &[404]),
        ("post", "/dead-letters/replay", "/dead-letters/replay", "text/plain", "{}", &[415, 401, 403]),
        ("post", "/dead-letters/replay", "/dead-letters/replay", json, "{}", &[422]),
        ("post", "/dead-letters/discard", "/dead-letters/discard", json, "{x", &[400]),
        ("post", "/dead-letters/discard", "/dead-letters/discard", json, &large, &[413]),
    ] {
        for status in statuses {
            let (asked, token) = match status {
                401 => (&proxy, "wrong"),
                403 => (&off, TOKEN),
                _ => (&proxy, TOKEN),
            };
            let request = asked.request(method.to_uppercase().parse().expect("a method"), path);
            let request = request.bearer_auth(token).header(CONTENT_TYPE, content_type).body(body.to_owned());

            let answer = asked.send(request).await;

            answer.assert_problem(*status);
            let said: Value = serde_json::from_str(&answer.text).expect("JSON");
            let api = if *status == 403 { &off_api } else { &api };
            assert_eq!(example(api, method, template, *status), said, "{method} {template} {status}");
        }
    }
    server.kill();
    for (template, path) in
        [("/streams/{name}", "/streams/weather-requests"), ("/dead-letters", "/dead-letters")]
    {
        eventually_async("the answer without Redis equals the example", async || {
            let answer = proxy.send(proxy.request(Method::GET, path).bearer_auth(TOKEN)).await;
            serde_json::from_str::<Value>(&answer.text).expect("JSON") == example(&api, "get", template, 503)
        })
        .await;
    }
}

#[tokio::test]
async fn no_text_that_is_shown_as_plain_text_has_a_backtick() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;

    let api = proxy.get(DOCUMENT).await.json();

    for (place, operation) in operations(&api) {
        let summary = operation["summary"].as_str().expect("a summary");
        assert!(!summary.contains(['`', '\n']), "{place}: {summary}");
    }
    let mut examples = Vec::new();
    collect_examples(&api, &mut examples);
    assert!(examples.len() > 50, "{examples:?}");
    for example in examples {
        assert!(!example.to_string().contains('`'), "{example}");
    }
}

#[tokio::test]
async fn a_lock_is_shown_only_if_the_settings_have_a_token() {
    let server = RedisServer::start();
    let open = Proxy::ready(&server, &[]).await;
    let guarded = Proxy::with_admin(&server, &["--worker-name", "w2"]).await;

    let (open, guarded) = (open.get(DOCUMENT).await.json(), guarded.get(DOCUMENT).await.json());

    for (place, operation) in operations(&open) {
        assert!(operation.get("security").is_none(), "{place}: {operation}");
    }
    assert!(open["components"].get("securitySchemes").is_none(), "{open}");
    for (place, operation) in operations(&guarded) {
        let security = match place.split('/').nth(1) {
            Some("dead-letters") => json!([{"bearer": []}]),
            Some("streams") if place.ends_with("{name}") => json!([{}, {"bearer": []}]),
            _ => Value::Null,
        };
        assert_eq!(operation["security"], security, "{place}");
    }
    let scheme = &guarded["components"]["securitySchemes"]["bearer"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&"http".into(), &"bearer".into()), "{scheme}");
}

/// Method and path of each operation, and the operation.
fn operations(api: &Value) -> Vec<(String, &Value)> {
    let paths = api["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            operations.push((format!("{method} {path}"), operation));
        }
    }
    operations
}

fn example(api: &Value, method: &str, path: &str, status: u16) -> Value {
    let response = &api["paths"][path][method]["responses"][status.to_string()];
    response["content"]["application/problem+json"]["example"].clone()
}

fn collect_examples<'a>(value: &'a Value, examples: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            examples.extend(members.get("example"));
            members.values().for_each(|member| collect_examples(member, examples));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_examples(item, examples)),
        _ => {}
    }
}

/// The text after each `start` in `text`, up to the closing quote.
fn texts<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split('"').next())
}
