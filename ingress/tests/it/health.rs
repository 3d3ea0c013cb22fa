use std::collections::HashSet;

use reqwest::Method;
use streamgate::testing::RedisServer;

use crate::harness::{Ingress, create_group, send};

#[tokio::test]
async fn all_health_routes_of_a_healthy_gateway_answer_200() {
    let server = RedisServer::start();
    create_group(&server);
    let ingress = Ingress::ready(&server, &[]).await;

    let health = ingress.get("/healthz").await;

    assert_eq!(health.status, 200);
    let report = health.json();
    assert_eq!((&report["status"], &report["service"]), (&"ok".into(), &"ingress".into()));
    assert!(report["redis"]["roundTripMs"].is_number(), "{report}");
    assert_eq!(report["notReady"], serde_json::json!([]));
    for path in ["/livez", "/readyz"] {
        assert_eq!(ingress.get(path).await.status, 200, "{path}");
        assert_eq!(ingress.get_admin(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_its_own_correlation_id() {
    let server = RedisServer::start();
    create_group(&server);
    let ingress = Ingress::ready(&server, &[]).await;
    let mut seen = HashSet::new();

    for (path, status) in [
        ("/", 307),
        ("/healthz", 200),
        ("/livez", 200),
        ("/swagger", 307),
        ("/swagger/", 200),
        ("/swagger/swagger-ui.css", 200),
        ("/api-docs/openapi.json", 200),
        ("/nothing", 404),
        ("/WeatherForecast/city", 405),
    ] {
        let answer = ingress.get(path).await;

        assert_eq!(answer.status, status, "{path}");
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert!(seen.insert(id), "{path} has the id of another answer");
    }
}

#[tokio::test]
async fn a_head_request_gets_the_headers_without_the_body() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    let answer = send(ingress.request(Method::HEAD, "/livez")).await;

    assert_eq!((answer.status, answer.header("content-length")), (200, Some("3")));
    assert_eq!(answer.text, "");
}

#[tokio::test]
async fn every_described_path_accepts_its_method() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;
    let description = ingress.get("/api-docs/openapi.json").await.json();
    let paths = description["paths"].as_object().expect("paths");
    assert!(paths.len() >= 4, "{description}");

    for (path, operations) in paths {
        let answer = send(ingress.request(Method::DELETE, path)).await;

        let allow = answer.header("allow").unwrap_or_else(|| panic!("{path} is not routed: {answer:?}"));
        for method in operations.as_object().expect("operations").keys() {
            assert!(allow.contains(&method.to_uppercase()), "{method} {path}: {allow}");
        }
    }
}
