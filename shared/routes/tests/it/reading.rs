use std::time::Duration;

use http::Method;
use routes::{Auth, BuiltIn, Check, Delivery, Handler, Origins, Priority, Routes};

use crate::{Folder, load, with_upstream};

const SCHEMA: &str = r#"{"type": "object", "required": ["sku"]}"#;

const WHOLE: &str = r#"
# ${UNKNOWN} in a comment is nothing
version: 1
defaults: {timeout: 30s, body_limit: 1MiB, auth: api-key, priority: normal}
routes:
  - id: create-order
    summary: Takes an order
    match: {method: POST, path: "/orders/{customer}"}
    stream: orders
    timeout: 20s
    scopes: [orders]
    priority: high
    cors: {origins: ["https://app.example.org"], headers: x-trace}
    request: {content_types: [application/json], schema: schemas/order.json, body_limit: 64KiB, headers: x-tenant}
    reply: {schema: schemas/order.json, check: log}
    delivery: at-most-once
    upstream: billing
  - id: files
    match: {method: [PUT, GET], path: "/files/{*rest}"}
    stream: files
    group: own-group
    auth: none
    handler: external
upstreams:
  billing:
    url: https://${HOST}:8443/v2
    concurrency: 32
    connect: 2s
    timeout: 1m 30s
    idempotent: false
    honours_idempotency_key: true
    headers: {pass: [Accept-Language, cookie], set: {Authorization: "Bearer ${file:secrets/billing} costs $$1 ${NONE:-for nothing}"}}
    breaker: {failures: 30%, of: 10, open: 5s}
    reply: {body_limit: 8MiB}
"#;

fn whole() -> Folder {
    Folder::with(&[("routes.yaml", WHOLE), ("schemas/order.json", SCHEMA), ("secrets/billing", "hunter2\n")])
}

#[test]
fn every_key_of_a_file_is_read() {
    let routes = whole().load("routes.yaml").expect("valid");

    let order = routes.route("create-order").expect("the route");
    assert_eq!(order.summary.as_deref(), Some("Takes an order"));
    assert_eq!((order.methods.clone(), order.path.as_str()), (vec![Method::POST], "/orders/{customer}"));
    assert_eq!((order.stream.as_str(), order.group.as_str()), ("orders", "orders-workers"));
    assert_eq!((order.queue().as_str(), order.priority), ("orders.high", Priority::High));
    assert_eq!((order.timeout, order.request.body_limit), (Duration::from_secs(20), 64 << 10));
    assert_eq!((order.auth, &order.scopes[..]), (Auth::ApiKey, &["orders".to_owned()][..]));
    assert_eq!((order.delivery, order.reply.check), (Delivery::AtMostOnce, Check::Log));
    assert!(order.request.schema.is_some() && order.reply.schema == order.request.schema);
    assert_eq!(order.request.headers, ["accept-language", "cookie", "x-tenant"]);
    let cors = order.cors.as_ref().expect("on");
    assert!(matches!(&cors.origins, Origins::Only(only) if only == &["https://app.example.org"]));
    let Handler::Upstream(billing) = &order.handler else { panic!("{:?}", order.handler) };
    assert_eq!(billing.url.as_str(), "https://billing.internal:8443/v2");
    assert_eq!((billing.concurrency, billing.connect), (32, Duration::from_secs(2)));
    assert_eq!((billing.timeout, billing.reply_body_limit), (Duration::from_secs(90), 8 << 20));
    assert!(billing.honours_idempotency_key && !billing.idempotent);
    assert_eq!((billing.breaker.failures, billing.breaker.of), (30, 10));
    assert_eq!(billing.headers.set[0].0, "authorization");
    assert_eq!(billing.headers.set[0].1, "Bearer hunter2 costs $1 for nothing");

    let files = routes.route("files").expect("the route");
    assert_eq!(files.methods, [Method::GET, Method::PUT]);
    assert_eq!((files.group.as_str(), files.auth), ("own-group", Auth::None));
    assert!(matches!(files.handler, Handler::External) && files.cors.is_none());
    assert_eq!((files.timeout, files.request.body_limit), (Duration::from_secs(30), 1 << 20));
    assert!(files.request.accepts(None) && files.request.accepts(Some("image/png")));
    assert_eq!(routes.streams().len(), 2);
    assert_eq!(routes.longest_timeout(), Duration::from_secs(30));
}

#[test]
fn secrets_are_in_no_message() {
    let folder = whole();
    let routes = folder.load("routes.yaml").expect("valid");
    folder.write("secrets/billing", "hunter2\u{7}");
    let faults = folder.load("routes.yaml").expect_err("a control character");

    assert!(!format!("{routes:?}").contains("hunter2"), "{routes:?}");
    assert!(!routes.explain(&Method::POST, "/orders/7").to_string().contains("hunter2"));
    assert!(faults.to_string().contains("must be the value of a header field"), "{faults}");
    assert!(!format!("{faults} {faults:?}").contains("hunter2"), "{faults:?}");
    for keys in [
        "url: ftp://${SECRET}",
        "url: http://a\nconcurrency: ${SECRET}",
        "url: http://a\nbreaker: {open: \"${SECRET}\"}",
        "url: http://a\nbreaker: {open: \"${NUMBER}\"}",
    ] {
        let message = load(&with_upstream(keys)).expect_err(keys).to_string();
        assert!(!message.contains("hunter2") && !message.contains("4711"), "{message}");
    }
}

#[test]
fn toml_means_the_same_as_yaml() {
    let toml = r#"
version = 1
defaults = {timeout = "30s", body_limit = "1MiB", auth = "api-key", priority = "normal"}

[[routes]]
id = "create-order"
summary = "Takes an order"
match = {method = "POST", path = "/orders/{customer}"}
stream = "orders"
timeout = "20s"
scopes = ["orders"]
priority = "high"
cors = {origins = ["https://app.example.org"], headers = "x-trace"}
request = {content_types = ["application/json"], schema = "schemas/order.json", body_limit = "64KiB", headers = "x-tenant"}
reply = {schema = "schemas/order.json", check = "log"}
delivery = "at-most-once"
upstream = "billing"

[[routes]]
id = "files"
match = {method = ["PUT", "GET"], path = "/files/{*rest}"}
stream = "files"
group = "own-group"
auth = "none"
handler = "external"

[upstreams.billing]
url = "https://${HOST}:8443/v2"
concurrency = 32
connect = "2s"
timeout = "1m 30s"
idempotent = false
honours_idempotency_key = true
headers.pass = ["Accept-Language", "cookie"]
headers.set.Authorization = "Bearer ${file:secrets/billing} costs $$1 ${NONE:-for nothing}"
breaker = {failures = "30%", of = 10, open = "5s"}
reply.body_limit = "8MiB"
"#;
    let folder = whole();
    folder.write("routes.toml", toml);

    let yaml = folder.load("routes.yaml").expect("valid");
    let toml = folder.load("routes.toml").expect("valid");

    assert_eq!(routes::diff(&yaml, &toml), []);
    assert_ne!(yaml.version, toml.version);
}

#[test]
fn anchors_and_aliases_are_resolved() {
    let text = "version: 1\nroutes:\n- {id: a, match: {method: GET, path: /a}, stream: s, upstream: u, request: &r {body_limit: 7B}}\n\
                - {id: b, match: {method: GET, path: /b}, stream: s, upstream: u, request: *r}\nupstreams: {u: {url: http://u}}\n";

    let routes = load(text).expect("valid");

    assert_eq!(routes.route("b").expect("the route").request.body_limit, 7);
}

#[test]
fn values_are_put_in_after_parsing_and_not_into_keys() {
    let with =
        |value: &str| load(&with_upstream(&format!("url: http://u\nheaders: {{set: {{x-a: '{value}'}}}}")));
    for (written, meant) in [
        ("${SECRET}", "hunter2"),
        ("a${SECRET}b${HOST}", "ahunter2bbilling.internal"),
        ("${NONE:-}", ""),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY}", ""),
        ("${NONE:-a:-b}", "a:-b"),
        ("$${SECRET}", "${SECRET}"),
        ("$$$$", "$$"),
        ("é", "é"),
    ] {
        let routes = with(written).expect(written);
        assert_eq!(routes.upstreams["billing"].headers.set[0].1.as_bytes(), meant.as_bytes(), "{written}");
    }
    let injected = load(&with_upstream("url: http://u\nheaders: {set: {x-a: '${YAML}'}}"));
    assert!(injected.is_err(), "a line break is not part of a header field, and no key");
    let key = load(&with_upstream("${SECRET}: 1\nurl: http://u")).expect_err("a key").to_string();
    assert!(key.contains("${SECRET} is not a key") && !key.contains("hunter2"), "{key}");
}

#[test]
fn a_file_that_a_person_wrote_is_read() {
    let text = "\u{feff}# routes\r\nversion: \"1\"\r\nroutes:\r\n  - id: 7\r\n    match: {method: GET, path: /}\r\n    stream: s\r\n    handler: external\r\n    cors:\r\n      origins: '*'\r\n";

    let routes = load(text).expect("valid");

    assert_eq!(routes.routes[0].id, "7");
}

#[test]
fn without_a_file_the_weather_is_the_only_route() {
    let settings = BuiltIn {
        stream: "weather-requests".parse().expect("valid"),
        group: "weather-workers".to_owned(),
        timeout: Duration::from_secs(30),
        body_limit: 65_536,
    };

    let routes = Routes::built_in(settings);

    let found = routes.find(&Method::POST, "/WeatherForecast/city").expect("the route");
    assert!(matches!(found.route.handler, Handler::Weather));
    assert_eq!((routes.routes.len(), routes.version.as_str()), (1, "built-in"));
}

#[test]
fn the_version_names_the_rules_and_no_secret() {
    let folder = whole();
    let before = folder.load("routes.yaml").expect("valid").version;
    folder.write("secrets/billing", "another");
    let other_secret = folder.load("routes.yaml").expect("valid").version;
    folder.write("schemas/order.json", "{}");
    let other_schema = folder.load("routes.yaml").expect("valid").version;

    assert_eq!((before.len(), &before), (12, &other_secret));
    assert_ne!(before, other_schema);
}

#[test]
fn two_hundred_routes_with_schemas_are_read() {
    let mut text = "version: 1\nroutes:\n".to_owned();
    let mut files = Vec::new();
    for n in 0..200 {
        text.push_str(&format!(
            "  - {{id: r{n}, match: {{method: POST, path: '/r{n}/{{id}}'}}, stream: s{n}, upstream: u, request: {{schema: s/{n}.json}}}}\n"
        ));
        files.push((format!("s/{n}.json"), format!(r#"{{"type": "object", "maxProperties": {n}}}"#)));
    }
    text.push_str("upstreams: {u: {url: http://u}}\n");
    let folder = Folder::with(&[("routes.yaml", &text)]);
    files.iter().for_each(|(name, content)| folder.write(name, content));

    let routes = folder.load("routes.yaml").expect("valid");

    assert_eq!(routes.routes.len(), 200);
    let found = routes.find(&Method::POST, "/r199/x").expect("the route");
    assert!(found.route.request.schema.as_ref().is_some_and(|schema| schema.check(b"{}").is_ok()));
}
