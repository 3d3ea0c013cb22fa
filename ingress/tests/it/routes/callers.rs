//! API keys, scopes, priorities and the cap on what may wait, per route.

use ::routes::Priority;
use reqwest::Method;
use streamgate::testing::{RedisServer, eventually_async};

use super::fixture::{Echo, RoutesFile, of_priority, route, stored_on};
use crate::harness::{Answer, Ingress, send};

async fn ask(ingress: &Ingress, path: &str, key: Option<&str>) -> Answer {
    let request = ingress.request(Method::POST, path).body("x");
    send(key.into_iter().fold(request, |request, key| request.header("x-api-key", key))).await
}

#[tokio::test]
async fn a_route_may_demand_a_key_and_its_scopes() {
    let server = RedisServer::start();
    let routes = [
        route("open", "POST", "/open", "a", "auth: none"),
        route("keyed", "POST", "/keyed", "a", "request: {headers: [authorization, x-api-key]}"),
        route("scoped", "POST", "/scoped", "a", "auth: api-key\nscopes: [orders.read, orders.write]"),
    ];
    let file = RoutesFile::with(&format!("routes:\n{}", routes.concat()));
    let keys = file.keys(&["reader:r scopes=orders.read", "writer:w scopes=orders.write,orders.read"]);
    let echo = Echo::on(&server, "a").await;
    let ingress = file.serve(&server, &["--api-keys-file", &keys]).await;

    assert_eq!(ask(&ingress, "/open", None).await.status, 200);
    for path in ["/keyed", "/scoped"] {
        ask(&ingress, path, None).await.assert_problem(401);
        ask(&ingress, path, Some("wrong")).await.assert_problem(401);
    }
    let lacking = ask(&ingress, "/scoped", Some("r")).await;
    lacking.assert_problem(403);
    let challenge = r#"Bearer error="insufficient_scope", scope="orders.read orders.write""#;
    assert_eq!(lacking.header("www-authenticate"), Some(challenge));
    assert!(lacking.text.contains("orders.write"), "{lacking:?}");
    assert_eq!(ask(&ingress, "/scoped", Some("w")).await.status, 200);
    assert_eq!(ask(&ingress, "/keyed", Some("r")).await.status, 200);
    assert!(echo.last().headers.is_empty(), "the service behind must not learn the key: {:?}", echo.last());
    let request =
        ingress.request(Method::POST, "/keyed").header("x-api-key", "r").header("authorization", "Basic x");
    assert_eq!(send(request.body("x")).await.status, 200);
    assert_eq!(
        echo.last().headers,
        [("authorization".to_owned(), "Basic x".to_owned())],
        "this is the service's"
    );
}

#[tokio::test]
async fn priorities_of_routes_and_keys_choose_the_stream() {
    let server = RedisServer::start();
    let routes = [
        route("urgent", "POST", "/urgent", "jobs", "priority: high"),
        route("usual", "POST", "/usual", "jobs", ""),
    ];
    let file = RoutesFile::with(&format!("routes:\n{}", routes.concat()));
    let keys = file.keys(&["usual:u", "nightly:n priority=low"]);
    let mut workers = Vec::new();
    for priority in Priority::ALL {
        workers.push(Echo::on(&server, &of_priority("jobs", priority)).await);
    }

    let ingress = file.serve(&server, &["--api-keys-file", &keys]).await;
    for (path, key, [high, normal, low]) in [
        ("/urgent", "u", [1, 0, 0]),
        ("/usual", "u", [1, 1, 0]),
        ("/usual", "n", [1, 1, 1]),
        ("/urgent", "n", [1, 1, 2]),
    ] {
        let answer = ask(&ingress, path, Some(key)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let stored = ["jobs.high", "jobs", "jobs.low"].map(|stream| stored_on(&server, stream));
        assert_eq!(stored, [high, normal, low], "{path} {key}");
    }

    file.keys(&["usual:u priority=high"]);
    eventually_async("the new priority holds", || async {
        ask(&ingress, "/usual", Some("u")).await.status == 200 && workers[0].count() > 1
    })
    .await;
}

#[tokio::test]
async fn one_key_cannot_fill_the_queue_for_the_others() {
    let server = RedisServer::start();
    let file = RoutesFile::with(&format!("routes:\n{}", route("a", "POST", "/a", "a", "")));
    let keys = file.keys(&["greedy:g", "modest:m", "large:l waiting=3"]);
    let flags = ["--api-keys-file", &keys, "--api-key-max-waiting", "2"];
    let echo = Echo::holding(&server, "a").await;
    let ingress = file.serve(&server, &flags).await;
    let spawn = |key: &'static str| {
        let request = ingress.request(Method::POST, "/a").header("x-api-key", key).body("x");
        tokio::spawn(send(request))
    };

    let waiting = ["g", "g", "l", "l", "l", "m"].map(spawn);
    eventually_async("they wait", || async { echo.count() == 6 }).await;
    for key in ["g", "l"] {
        let refused = ask(&ingress, "/a", Some(key)).await;
        refused.assert_problem(429);
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
    }
    echo.release();

    for answer in waiting {
        assert_eq!(answer.await.expect("joins").status, 200);
    }
    assert_eq!(ask(&ingress, "/a", Some("g")).await.status, 200, "there is room again");
    let metrics = ingress.get_admin("/metrics").await.text;
    assert!(metrics.contains(r#"http_requests_too_many_waiting_total{key="greedy"} 1"#), "{metrics}");
}
