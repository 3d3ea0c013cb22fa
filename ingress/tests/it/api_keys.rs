//! API keys, as callers and operators see them.

mod command;
mod reload;
mod secrets;

use std::path::{Path, PathBuf};

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use service::api_key::KeyHash;
use streamgate::testing::RedisServer;
use tempfile::TempDir;

use crate::harness::{Answer, BERLIN, FORECAST, Ingress, Worker, create_group, send, stored};

/// A file of keys that is removed on drop.
struct Keys {
    folder: TempDir,
}

impl Keys {
    /// Writes these lines, with the hash of `key` for each `{key}`.
    fn new(lines: &str) -> Self {
        let keys = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        keys.write(lines);
        keys
    }

    fn write(&self, lines: &str) {
        let (mut text, mut rest) = (String::new(), lines);
        while let Some((before, key, after)) =
            rest.split_once('{').and_then(|(before, rest)| rest.split_once('}').map(|(k, a)| (before, k, a)))
        {
            text.push_str(&format!("{before}{}", KeyHash::of(key.as_bytes())));
            rest = after;
        }
        self.write_raw((text + rest).as_bytes());
    }

    /// Writes a new file and renames it, as docs/OPERATIONS.md tells operators to do.
    fn write_raw(&self, bytes: &[u8]) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, bytes).expect("written");
        std::fs::rename(next, self.path()).expect("renamed");
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    async fn ingress(&self, server: &RedisServer) -> Ingress {
        Ingress::ready(server, &["--api-keys-file", self.path().to_str().expect("text")]).await
    }
}

/// Asks for a forecast with these headers.
async fn ask(ingress: &Ingress, headers: &[(&str, &[u8])]) -> Answer {
    let mut request = ingress.request(Method::POST, FORECAST).header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value).expect("a header"));
    }
    send(request.body(BERLIN)).await
}

async fn ask_as(ingress: &Ingress, key: &str) -> Answer {
    ask(ingress, &[("x-api-key", key.as_bytes())]).await
}

#[tokio::test]
async fn without_a_file_no_key_is_needed_and_there_is_no_limit() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;

    for headers in [&[][..], &[("authorization", &b"Bearer whatever"[..])]] {
        let answer = ask(&ingress, headers).await;

        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("ratelimit"), None);
    }
}

#[tokio::test]
async fn a_key_is_accepted_in_either_header() {
    let (server, keys) = (RedisServer::start(), Keys::new("shop:{k1}"));
    let _worker = Worker::start(&server).await;
    let ingress = keys.ingress(&server).await;

    for header in
        [("authorization", &b"Bearer k1"[..]), ("authorization", b"bearer k1"), ("X-API-Key", b"k1")]
    {
        let answer = ask(&ingress, &[header]).await;

        assert_eq!(answer.status, 200, "{header:?}: {answer:?}");
        assert_eq!(answer.header("ratelimit"), None, "this key has no limit");
    }
    let scrape = ingress.get_admin("/metrics").await.text;
    assert!(scrape.contains(r#"http_requests_authorized_total{key="shop"} 3"#), "{scrape}");
}

#[tokio::test]
async fn a_request_without_a_valid_key_gets_401_and_is_not_stored() {
    let (server, keys) = (RedisServer::start(), Keys::new("shop:{k1}:5\nbatch:{k2}"));
    let ingress = keys.ingress(&server).await;
    let hash = KeyHash::of(b"k1").to_string();
    let long = "k".repeat(16_000);

    for (what, headers, challenge) in [
        ("nothing", &[][..], "Bearer"),
        ("another scheme", &[("authorization", &b"Basic azE6azE="[..])], "Bearer"),
        ("a scheme alone", &[("authorization", b"Bearer")], "Bearer"),
        ("no scheme", &[("authorization", b"k1")], "Bearer"),
        ("an empty key", &[("x-api-key", b"")], r#"Bearer error="invalid_token""#),
        ("a wrong key", &[("x-api-key", b"k3")], r#"Bearer error="invalid_token""#),
        ("a key's hash", &[("x-api-key", hash.as_bytes())], r#"Bearer error="invalid_token""#),
        ("a key's name", &[("x-api-key", b"shop")], r#"Bearer error="invalid_token""#),
        ("a long key", &[("x-api-key", long.as_bytes())], r#"Bearer error="invalid_token""#),
        ("a key in another case", &[("x-api-key", b"K1")], r#"Bearer error="invalid_token""#),
        ("a key and more", &[("authorization", b"Bearer k1, Bearer k2")], r#"Bearer error="invalid_token""#),
        ("Unicode", &[("x-api-key", "k1\u{202e}ключ".as_bytes())], r#"Bearer error="invalid_token""#),
        ("no UTF-8", &[("authorization", b"Bearer \xff\xfe\x80")], r#"Bearer error="invalid_token""#),
        ("a tab inside", &[("x-api-key", b"k1\tk1")], r#"Bearer error="invalid_token""#),
        ("two keys", &[("x-api-key", b"k1"), ("x-api-key", b"k2")], r#"Bearer error="invalid_request""#),
        (
            "two credentials",
            &[("authorization", b"Bearer k1"), ("authorization", b"Bearer k1")],
            r#"Bearer error="invalid_request""#,
        ),
    ] {
        let answer = ask(&ingress, headers).await;

        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        answer.assert_problem(401);
        assert_eq!(answer.header("www-authenticate"), Some(challenge), "{what}");
        assert_eq!(answer.header("ratelimit"), None, "{what}");
    }
    assert_eq!(stored(&server), 0);
    let scrape = ingress.get_admin("/metrics").await.text;
    assert!(scrape.contains("http_requests_unauthorized_total 16"), "{scrape}");
}

#[tokio::test]
async fn a_key_is_checked_before_the_body_and_only_for_forecasts() {
    let (server, keys) = (RedisServer::start(), Keys::new("shop:{k1}"));
    create_group(&server);
    let ingress = keys.ingress(&server).await;

    let malformed = send(ingress.request(Method::POST, FORECAST).body("nonsense")).await;
    let with_key = send(ingress.request(Method::POST, FORECAST).header("x-api-key", "k1").body("{")).await;
    let method = ingress.get(FORECAST).await;

    malformed.assert_problem(401);
    with_key.assert_problem(415);
    method.assert_problem(405);
    for path in ["/healthz", "/livez", "/readyz", "/swagger/", "/api-docs/openapi.json"] {
        assert_eq!(ingress.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_key_over_its_limit_gets_429_and_other_keys_do_not() {
    let (server, keys) = (RedisServer::start(), Keys::new("slow:{k1}:2/h\nother:{k2}:3/h:5\nfree:{k3}"));
    let _worker = Worker::start(&server).await;
    let ingress = keys.ingress(&server).await;

    let within = [ask_as(&ingress, "k1").await, ask_as(&ingress, "k1").await];
    let over = ask_as(&ingress, "k1").await;
    let other = ask_as(&ingress, "k2").await;

    for (answer, left) in within.iter().zip([1, 0]) {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("ratelimit"), Some(&*format!(r#""default";r={left};t=1800"#)));
        assert_eq!(answer.header("ratelimit-policy"), Some(r#""default";q=2;w=3600"#));
    }
    over.assert_problem(429);
    let wait: u64 = over.header("retry-after").expect("retry-after").parse().expect("seconds");
    assert!((1..=1_800).contains(&wait), "{over:?}");
    assert_eq!(over.header("ratelimit"), Some(&*format!(r#""default";r=0;t={wait}"#)));
    assert_eq!(over.header("ratelimit-policy"), Some(r#""default";q=2;w=3600"#));
    assert_eq!((other.status, other.header("ratelimit-policy")), (200, Some(r#""default";q=5;w=6000"#)));
    assert_eq!(ask_as(&ingress, "k3").await.status, 200);
    assert_eq!(stored(&server), 4, "refused requests are not stored");
    let scrape = ingress.get_admin("/metrics").await.text;
    for line in [
        r#"http_requests_rate_limited_total{key="slow"} 1"#,
        r#"http_requests_rate_limited_total{key="other"} 0"#,
        r#"http_requests_authorized_total{key="slow"} 2"#,
        "api_keys 3",
    ] {
        assert!(scrape.contains(line), "no {line} in\n{scrape}");
    }
}

#[tokio::test]
async fn every_answer_to_a_limited_key_shows_the_rest_of_its_limit() {
    let (server, keys) = (RedisServer::start(), Keys::new("shop:{k1}:100/h"));
    let ingress = keys.ingress(&server).await;
    let request = || ingress.request(Method::POST, FORECAST).header("x-api-key", "k1");

    let no_json = send(request().body("text")).await;
    let invalid = send(request().header(CONTENT_TYPE, "application/json").body("{}")).await;

    for (answer, status, left) in [(no_json, 415, 99), (invalid, 422, 98)] {
        answer.assert_problem(status);
        assert_eq!(answer.header("ratelimit"), Some(&*format!(r#""default";r={left};t=36"#)), "{answer:?}");
    }
}

#[tokio::test]
async fn every_metric_about_keys_is_in_the_operations_manual() {
    let (server, keys) = (RedisServer::start(), Keys::new("shop:{k1}:5"));
    let ingress = keys.ingress(&server).await;
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATIONS.md");
    let manual = std::fs::read_to_string(manual).expect("the manual");

    let scrape = ingress.get_admin("/metrics").await.text;

    let described = scrape.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
    let ours: Vec<&str> = described
        .filter(|name| ["key", "authorized", "rate_limited"].iter().any(|word| name.contains(word)))
        .collect();
    assert!(ours.len() == 6, "{ours:?}");
    for name in ours {
        assert!(manual.contains(&format!("`{name}`")), "{name} is not in docs/OPERATIONS.md");
    }
}

#[tokio::test]
async fn with_api_keys_the_description_says_how_to_send_one() {
    let (server, keys) = (RedisServer::start(), Keys::new("shop:{k1}"));
    let ingress = keys.ingress(&server).await;

    let api: Value = ingress.get("/api-docs/openapi.json").await.json();

    let schemes = &api["components"]["securitySchemes"];
    assert_eq!(
        (&schemes["bearer"]["type"], &schemes["bearer"]["scheme"]),
        (&"http".into(), &"bearer".into())
    );
    assert_eq!(
        (&schemes["apiKey"]["in"], &schemes["apiKey"]["name"]),
        (&"header".into(), &"X-API-Key".into())
    );
    let forecast = &api["paths"]["/WeatherForecast/city"]["post"];
    assert_eq!(forecast["security"], serde_json::json!([{"bearer": []}, {"apiKey": []}]));
    assert!(forecast["responses"]["401"]["headers"]["www-authenticate"].is_object(), "{forecast}");
    for (status, response) in forecast["responses"].as_object().expect("responses") {
        let limited = !matches!(status.as_str(), "401" | "405");
        assert_eq!(response["headers"].get("ratelimit").is_some(), limited, "{status}");
        assert_eq!(response["headers"].get("ratelimit-policy").is_some(), limited, "{status}");
    }
    assert!(api["paths"]["/healthz"]["get"].get("security").is_none());
}
