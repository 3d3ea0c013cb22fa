use std::collections::HashSet;

use reqwest::Method;
use streamgate::testing::RedisServer;

use crate::harness::{Ingress, hear, workers_were_here};

#[tokio::test]
async fn a_healthy_gateway_says_so_everywhere() {
    let server = RedisServer::start();
    workers_were_here(&server);
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
async fn every_answer_carries_an_id_of_its_own() {
    let server = RedisServer::start();
    workers_were_here(&server);
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
        let heard = ingress.get(path).await;

        assert_eq!(heard.status, status, "{path}");
        let id = heard.header("x-request-id").expect("an id").to_owned();
        assert!(seen.insert(id), "{path} has the id of another answer");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    let heard = hear(ingress.request(Method::HEAD, "/livez")).await;

    assert_eq!((heard.status, heard.header("content-length")), (200, Some("3")));
    assert_eq!(heard.text, "");
}

#[tokio::test]
async fn every_described_path_is_routed_and_accepts_its_method() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;
    let description = ingress.get("/api-docs/openapi.json").await.json();
    let paths = description["paths"].as_object().expect("paths");
    assert!(paths.len() >= 4, "{description}");

    for (path, operations) in paths {
        let heard = hear(ingress.request(Method::DELETE, path)).await;

        let allow = heard.header("allow").unwrap_or_else(|| panic!("{path} is not routed: {heard:?}"));
        for method in operations.as_object().expect("operations").keys() {
            assert!(allow.contains(&method.to_uppercase()), "{method} {path}: {allow}");
        }
    }
}
