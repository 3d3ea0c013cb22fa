//! The description of the operations and the Swagger page that shows it.

use reqwest::{Method, Url};
use serde_json::{Value, json};
use streamgate::testing::RedisServer;

use crate::harness::{Proxy, REQUESTS};

const DOCUMENT: &str = "/api-docs/openapi.json";

#[tokio::test]
async fn every_described_route_is_there() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;

    let api = proxy.get(DOCUMENT).await.json();

    let paths = api["paths"].as_object().expect("paths");
    let mut described = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let path_of_one = path.replace("{name}", REQUESTS).replace("{id}", "1-0");
            let heard = proxy.ask(method.clone(), &path_of_one).await;
            assert!(heard.status != 405, "{method} {path}: {heard:?}");
            let status = heard.status.to_string();
            assert!(operation["responses"][status].is_object(), "{method} {path}: {heard:?}");
            let security = match path.split('/').nth(1) {
                Some("dead-letters") => json!([{"bearer": []}]),
                Some("streams") => json!([{}, {"bearer": []}]),
                _ => Value::Null,
            };
            assert_eq!(operation["security"], security, "{method} {path}");
            described.push(format!("{method} {path}"));
        }
    }
    described.sort_unstable();
    let expected = [
        "DELETE /dead-letters/{id}",
        "GET /dead-letters",
        "GET /dead-letters/{id}",
        "GET /healthz",
        "GET /streams/{name}",
        "POST /dead-letters/discard",
        "POST /dead-letters/replay",
        "POST /dead-letters/{id}/replay",
    ];
    assert_eq!(described, expected);
    let scheme = &api["components"]["securitySchemes"]["bearer"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&"http".into(), &"bearer".into()), "{scheme}");
}

#[tokio::test]
async fn every_location_stays_below_the_prefix_of_a_proxy() {
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
            let heard = proxy.get(path).await;
            let location = heard.headers["location"].to_str().expect("text");
            assert_eq!(heard.status, 307, "{path}");
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

/// What follows each `start` in `text`, up to the closing quote.
fn texts<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split('"').next())
}
