//! Logins, tokens and roles.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use streamgate::testing::eventually_async;

use crate::harness::{Api, Lab, on_both_databases};

on_both_databases![
    a_role_may_do_what_it_is_for,
    a_token_ends_with_its_time_and_with_its_key,
    a_login_tells_nothing_and_is_limited,
    reading_may_be_open,
];

const PASSWORD: &str = "correct horse battery";

fn key(id: &str) -> String {
    format!("{id}:{}", id.repeat(32))
}

async fn login(api: &Api, username: &str, password: &str) -> crate::harness::Answer {
    api.post("/api/auth/login", json!({"username": username, "password": password})).await
}

async fn token(api: &Api, username: &str) -> Option<String> {
    login(api, username, PASSWORD).await.is(200)["token"].as_str().map(str::to_owned)
}

async fn guarded(lab: &Lab, settings: &[(&str, &str)]) -> Api {
    let keys = key("a");
    let own =
        [("EVENTS_AUTH", "on"), ("EVENTS_JWT_KEYS", keys.as_str()), ("EVENTS_ADMIN_PASSWORD", PASSWORD)];
    lab.api_with(&[&own[..], settings].concat()).await
}

fn account(lab: &Lab, name: &str, role: &str) {
    let mut command = lab.command(&["account", name, "--role", role], &[]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("piped");
    writeln!(input, "{PASSWORD}").expect("written");
    drop(input);
    assert!(child.wait().expect("it ends").success());
}

async fn a_role_may_do_what_it_is_for(lab: Lab) {
    let mut api = guarded(&lab, &[]).await;
    account(&lab, "rita", "reader");
    account(&lab, "will", "writer");
    let user = json!({"username": "ada", "email": "ada@example.org"});

    let nobody = api.get("/api/users").await;
    nobody.is_problem(401);
    assert_eq!(nobody.headers["www-authenticate"], "Bearer");
    api.token = token(&api, "rita").await;
    api.get("/api/users").await.is(200);
    let refused = api.post("/api/users", user.clone()).await.is_problem(403);
    assert!(refused["detail"].as_str().expect("text").contains("writer"), "{refused}");
    api.token = token(&api, "will").await;
    let created = api.post("/api/users", user).await.is(201);
    let path = format!("/api/users/{}", created["user"]["id"].as_str().expect("an id"));
    api.delete(&path).await.is_problem(403);
    api.token = token(&api, "admin").await;
    api.delete(&path).await.is(200);

    api.token = None;
    for open in ["/health", "/readyz", "/livez", "/metrics", "/api-docs/openapi.json"] {
        assert_eq!(api.get(open).await.status, 200, "{open}");
    }
    let log = api.process.log();
    assert!(!log.contains(PASSWORD) && !log.contains(&"a".repeat(32)), "a secret is in the log");
}

async fn a_token_ends_with_its_time_and_with_its_key(lab: Lab) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let write = |lines: &[String]| std::fs::write(file.path(), lines.join("\n")).expect("written");
    write(&[key("a")]);
    let path = file.path().display().to_string();
    let settings = [
        ("EVENTS_AUTH", "on"),
        ("EVENTS_JWT_KEYS_FILE", path.as_str()),
        ("EVENTS_ADMIN_PASSWORD", PASSWORD),
        ("EVENTS_LOGINS_PER_MINUTE", "1000"),
    ];
    let mut api = lab.api_with(&settings).await;
    let old = token(&api, "admin").await;

    write(&[key("b"), key("a")]);
    let new = eventually_new_key(&api, "b").await;
    for known in [&old, &new] {
        api.token.clone_from(known);
        api.get("/api/users").await.is(200);
    }
    // A file that is not valid changes nothing.
    write(&["broken".to_owned()]);
    eventually_async("it is in the log", async || api.process.log().contains("stay as they were")).await;
    api.get("/api/users").await.is(200);
    write(&[key("b")]);
    api.token = old;
    eventually_async("the old key is gone", async || api.get("/api/users").await.status == 401).await;
    api.token = new;
    api.get("/api/users").await.is(200);
    assert!(api.stop());

    let short = [&settings[..], &[("EVENTS_TOKEN_LIFETIME", "1s")]].concat();
    let mut api = lab.api_with(&short).await;
    api.token = token(&api, "admin").await;
    eventually_async("the token has expired", async || api.get("/api/users").await.status == 401).await;
    let expired = api.get("/api/users").await.is_problem(401);
    assert!(expired["detail"].as_str().expect("text").contains("expired"), "{expired}");
}

/// A token that the key `id` has signed.
async fn eventually_new_key(api: &Api, id: &str) -> Option<String> {
    use base64::Engine;
    let mut found = None;
    eventually_async("the new key signs", async || {
        let new = token(api, "admin").await.expect("a token");
        let header = new.split('.').next().expect("a header");
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).expect("base64url");
        let header: Value = serde_json::from_slice(&header).expect("JSON");
        found = (header["kid"] == id).then_some(new);
        found.is_some()
    })
    .await;
    found
}

async fn a_login_tells_nothing_and_is_limited(lab: Lab) {
    let api = guarded(&lab, &[("EVENTS_LOGINS_PER_MINUTE", "3")]).await;

    let wrong = login(&api, "admin", "wrong").await;
    let unknown = login(&api, "nobody", "wrong").await;

    assert_eq!(wrong.is_problem(401), unknown.is_problem(401));
    login(&api, "admin", "wrong").await.is_problem(401);
    login(&api, "admin", PASSWORD).await.is(200);
    let limited = login(&api, "admin", PASSWORD).await;
    limited.is_problem(429);
    assert!(limited.headers["retry-after"].to_str().expect("text").parse::<u64>().expect("a number") > 0);
    login(&api, "nobody", "wrong").await.is_problem(401);
    login(&api, "", "wrong").await.is_problem(422);
}

async fn reading_may_be_open(lab: Lab) {
    let api = guarded(&lab, &[("EVENTS_AUTH_READING", "off")]).await;

    api.get("/api/users").await.is(200);
    api.post("/api/users", json!({"username": "ada", "email": "ada@example.org"})).await.is_problem(401);

    let open = lab.api().await;
    open.user("grace").await;
    assert!(open.process.log().contains("EVENTS_AUTH is off"), "the log names it");
    assert!(!api.process.log().contains("EVENTS_AUTH is off"));
    assert_eq!(open.get("/health").await.is(200)["authentication"], false);
}
