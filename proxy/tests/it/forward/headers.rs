//! The header fields that an upstream gets, and those that come back.

use super::gateway::{Ask, Gateway, RoutesFile, one_route};
use super::upstream::{Upstream, empty, ok};

#[tokio::test]
async fn an_upstream_gets_what_passes_what_is_set_and_ours() {
    let upstream = Upstream::answering(ok("done")).await;
    let secrets = RoutesFile::new("s3cret\n");
    let of_upstream = format!(
        "headers: {{pass: [accept-language, x-tenant], set: {{authorization: 'Bearer ${{file:{}}}', x-tenant: ours}}}}",
        secrets.path().display()
    );
    let gateway = Gateway::to(&format!("{}/base/", upstream.url()), "", &of_upstream).await;
    let mut ask =
        Ask { body: "{}".into(), content_type: "application/json", ..Ask::new("PUT", "/a%20b/c?d=e%26&f") }
            .header("accept-language", "de")
            .header("x-tenant", "theirs")
            .header("authorization", "Bearer theirs")
            .header("cookie", "a=1")
            .header("connection", "keep-alive")
            .header("te", "trailers")
            .header("x-other", "1");
    ask.head.idempotency_key = Some("order-7".to_owned());

    assert_eq!(gateway.ask(ask).await.status, 200);

    let seen = upstream.last();
    assert_eq!(
        (seen.line.as_str(), seen.body.as_slice()),
        ("PUT /base/a%20b/c?d=e%26&f HTTP/1.1", &b"{}"[..])
    );
    let header = |name: &str| seen.header(name);
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("accept-language"), Some("de"));
    assert_eq!((header("x-tenant"), header("authorization")), (Some("ours"), Some("Bearer s3cret")));
    assert_eq!(
        (header("cookie"), header("te"), header("x-other"), header("connection")),
        (None, None, None, None)
    );
    assert_eq!((header("idempotency-key"), header("streamgate-attempt")), (Some("order-7"), Some("1")));
    assert!(header("forwarded").is_some_and(|text| text.contains("by=_streamgate")), "{seen:?}");
    let left: f64 = header("streamgate-deadline").and_then(|text| text.parse().ok()).expect("seconds");
    assert!(left > 0.0 && left <= 30.0, "{left}");
    assert_eq!(header("host"), Some(upstream.address.to_string().as_str()));
    let names: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "x-tenant").collect();
    assert_eq!(names.len(), 1, "the caller's value stays behind");
}

#[tokio::test]
async fn a_request_without_a_key_has_its_id_as_key() {
    let upstream = Upstream::answering(ok("done")).await;
    let gateway = Gateway::to(&upstream.url(), "", "").await;

    let reply = gateway.ask(Ask::get()).await;

    assert_eq!(upstream.last().header("idempotency-key"), Some(reply.id.to_string().as_str()));
    assert_eq!(upstream.last().header("content-type"), None, "there is no body");
}

#[tokio::test]
async fn every_method_passes() {
    let upstream = Upstream::answering(empty("200 OK", "")).await;
    let gateway = Gateway::to(&upstream.url(), "", "").await;

    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        assert_eq!(gateway.ask(Ask::new(method, "/x")).await.status, 200);
        assert_eq!(upstream.last().line, format!("{method} /x HTTP/1.1"));
    }
}

#[tokio::test]
async fn an_entry_written_by_hand_is_that_of_its_route() {
    let upstream = Upstream::answering(ok("done")).await;
    let routes =
        one_route(&upstream.url(), "", "").replace("'/{*rest}'", "/fixed/path").replace("GET, HEAD, ", "");
    let gateway = Gateway::start(&routes).await;

    let id = "01976c5e-5a80-7000-8000-000000000001";
    crate::harness::add(&gateway.server, "jobs", &["id", id, "reply_to", "weather-responses", "body", "{}"]);

    streamgate::testing::eventually_async("the upstream is asked", async || upstream.count() == 1).await;
    let (seen, sent) = (upstream.last(), ["DELETE", "OPTIONS", "PATCH", "POST", "PUT"]);
    let (method, target) = seen.line.split_once(' ').expect("a line");
    assert!(sent.contains(&method) && target == "/fixed/path HTTP/1.1", "{seen:?}");
}
