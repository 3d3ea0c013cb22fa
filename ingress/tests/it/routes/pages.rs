//! What browsers see: CORS by route, the description, and the page that shows it.

use reqwest::Method;
use serde_json::{Value, json};
use streamgate::testing::RedisServer;

use super::fixture::{Echo, RoutesFile, route};
use crate::harness::{Answer, Ingress, send};

const PAGE: &str = "https://app.example.org";

async fn preflight(ingress: &Ingress, path: &str, origin: &str, method: &str) -> Answer {
    let request = ingress.request(Method::OPTIONS, path).header("origin", origin);
    send(request.header("access-control-request-method", method)).await
}

#[tokio::test]
async fn cors_is_off_unless_a_route_turns_it_on() {
    let server = RedisServer::start();
    let routes = [
        route(
            "some",
            "[GET, POST]",
            "/some",
            "a",
            "cors: {origins: ['https://app.example.org'], headers: [x-tenant], max_age: 1m}",
        ),
        route("any", "GET", "/any", "a", "cors: {origins: ['*']}"),
        route("off", "POST", "/off", "a", ""),
    ];
    let file = RoutesFile::with(&format!("routes:\n{}", routes.concat()));
    let keys = file.keys(&["a:k"]);
    let flags = ["--api-keys-file", &keys, "--cors-allowed-origins", "*"];
    let echo = Echo::on(&server, "a").await;
    let ingress = file.serve(&server, &flags).await;

    let allowed = preflight(&ingress, "/some", PAGE, "POST").await;
    assert_eq!(allowed.status, 204, "a preflight has no key: {allowed:?}");
    assert_eq!(allowed.header("access-control-allow-origin"), Some(PAGE));
    assert_eq!(allowed.header("access-control-allow-methods"), Some("GET, POST"));
    let fields = allowed.header("access-control-allow-headers").expect("fields");
    assert!(fields.contains("authorization") && fields.contains("x-tenant"), "{fields}");
    assert_eq!(allowed.header("access-control-max-age"), Some("60"));
    assert!(allowed.header("vary").is_some_and(|vary| vary.contains("origin")), "{allowed:?}");
    let other = preflight(&ingress, "/some", "https://evil.example", "POST").await;
    assert_eq!((other.status, other.header("access-control-allow-origin")), (204, None));
    assert_eq!(
        preflight(&ingress, "/any", "null", "GET").await.header("access-control-allow-origin"),
        Some("*")
    );
    let off = preflight(&ingress, "/off", PAGE, "POST").await;
    off.assert_problem(405);
    assert_eq!(off.header("access-control-allow-origin"), None, "the setting is for the gateway's own paths");
    preflight(&ingress, "/none", PAGE, "POST").await.assert_problem(404);
    assert_eq!(preflight(&ingress, "/some", PAGE, "DELETE").await.status, 405);
    assert_eq!(echo.count(), 0);

    let refused = send(ingress.request(Method::POST, "/some").header("origin", PAGE)).await;
    refused.assert_problem(401);
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE), "the page may read the reason");
    assert!(refused.header("access-control-expose-headers").is_some_and(|list| list.contains("etag")));
    let called = ingress.request(Method::POST, "/off").header("origin", PAGE).header("x-api-key", "k");
    let called = send(called.body("x")).await;
    assert_eq!((called.status, called.header("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn the_description_is_made_from_the_file() {
    let server = RedisServer::start();
    let file = RoutesFile::with("routes: []");
    file.add(
        "order.json",
        &json!({"type": "object", "properties": {"n": {"$ref": "part.json"}}}).to_string(),
    );
    file.add("part.json", &json!({"type": "integer", "minimum": 1}).to_string());
    let rules = "scopes: [w]\nsummary: Creates an order\nrequest: {schema: order.json, headers: [x-tenant]}\nreply: {schema: part.json}";
    let routes = [
        route("create", "POST", "/orders/{customer}", "orders", rules),
        route("read", "GET", "/orders/{id}", "orders", "auth: none"),
        route("files", "GET", "/files/{*rest}", "files", ""),
    ];
    file.write(&format!("routes:\n{}", routes.concat()));
    let keys = file.keys(&["a:k scopes=w"]);
    let ingress = file.serve(&server, &["--api-keys-file", &keys]).await;

    let api = ingress.get("/api-docs/openapi.json").await.json();

    assert!(api["openapi"].as_str().expect("a version").starts_with("3.1"), "{api}");
    let create = &api["paths"]["/orders/{customer}"]["post"];
    assert_eq!((&create["operationId"], &create["summary"]), (&json!("create"), &json!("Creates an order")));
    assert_eq!(create["security"][0], json!({"bearer": ["w"]}));
    let schema = &create["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(schema, "#/components/schemas/create.request");
    assert!(create["responses"]["2XX"]["content"]["application/json"]["schema"].is_object());
    for status in ["400", "401", "403", "408", "413", "415", "429", "500", "502", "503", "504"] {
        assert!(create["responses"][status]["content"]["application/problem+json"].is_object(), "{status}");
    }
    let read = &api["paths"]["/orders/{customer}"]["get"];
    assert_eq!(read["operationId"], "read", "one path for two names of its parameter: {}", api["paths"]);
    assert!(read.get("security").is_none() && read.get("requestBody").is_none(), "{read}");
    assert!(api["paths"]["/files/{rest}"]["get"].is_object() && api["paths"]["/healthz"].is_object());
    assert!(api["paths"].get("/WeatherForecast/city").is_none(), "no route has the weather");
    for reference in references(&api) {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads out"));
        let pointer = pointer.replace("%3A", ":").replace("%2F", "/");
        assert!(api.pointer(&pointer).is_some(), "{reference} leads nowhere");
    }
    let to_document = ingress.get("/openapi.json").await;
    assert_eq!(to_document.header("location"), Some("api-docs/openapi.json"));
    assert_eq!(ingress.get("/swagger/").await.status, 200);
}

/// All references in a document.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
