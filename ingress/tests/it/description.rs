//! The description of the API and the Swagger page that shows it.

use reqwest::Url;
use streamgate::testing::RedisServer;

use crate::harness::{FORECAST, Ingress};

const DOCUMENT: &str = "/api-docs/openapi.json";

#[tokio::test]
async fn every_url_of_the_page_keeps_the_prefix_of_a_proxy() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;
    let page = ingress.get("/swagger/").await.text;
    let files: Vec<&str> = ["href=\"", "src=\""].iter().flat_map(|start| texts(&page, start)).collect();
    assert!(files.len() >= 5, "{page}");
    let initializer = ingress.get("/swagger/swagger-initializer.js").await.text;
    let document = texts(&initializer, "\"url\": \"").next().expect("a URL");
    let api = ingress.get(DOCUMENT).await.json();
    let [api_server] = &api["servers"].as_array().expect("servers")[..] else { panic!("{api}") };

    for outside in ["http://gateway.example/", "https://gateway.example/gw/", "https://a.example/b/c/"] {
        let at = |path: &str| Url::parse(&format!("{outside}{}", &path[1..])).expect("a URL");
        let resolve = |base: Url, location: &str| base.join(location).expect("a location");

        for path in ["/", "/swagger"] {
            let answer = ingress.get(path).await;
            let location = answer.header("location").expect("a location");
            assert_eq!(answer.status, 307, "{path}");
            assert_eq!(resolve(at(path), location), at("/swagger/"), "{path}: {location}");
        }
        for file in &files {
            let url = resolve(at("/swagger/"), file);
            let inside = url.as_str().strip_prefix(outside).unwrap_or_else(|| panic!("{file} is at {url}"));
            assert_eq!(ingress.get(&format!("/{inside}")).await.status, 200, "{file}");
        }
        assert_eq!(resolve(at("/swagger/"), document), at(DOCUMENT), "{initializer}");
        let root = resolve(at(DOCUMENT), api_server["url"].as_str().expect("text"));
        assert_eq!(root, at("/"), "{api_server}");
    }
}

#[tokio::test]
async fn without_api_keys_the_description_needs_no_key() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    let api = ingress.get(DOCUMENT).await.json();

    let forecast = &api["paths"][FORECAST]["post"];
    assert!(forecast.get("security").is_none(), "{forecast}");
    assert!(api["components"].get("securitySchemes").is_none(), "{api}");
    for status in ["401", "429"] {
        assert!(forecast["responses"].get(status).is_none(), "ingress never answers {status}");
    }
}

/// The texts that follow each `start` in `text`, up to the closing quote.
fn texts<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split('"').next())
}
