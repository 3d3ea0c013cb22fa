//! Users, one route after the other.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Lab, on_both_databases};

on_both_databases![
    a_user_is_created_changed_and_deleted,
    bad_requests_are_told_what_is_wrong,
    two_writers_of_one_name_get_one_conflict,
    users_come_in_pages,
];

async fn a_user_is_created_changed_and_deleted(lab: Lab) {
    let api = lab.api().await;
    let new = json!({"username": "ada", "email": "Ada@Example.org"});

    let created = api.post("/api/users", new).await.is(201);
    let (user, path) =
        (&created["user"], format!("/api/users/{}", created["user"]["id"].as_str().expect("an id")));
    let shown = api.get(&path).await.is(200);
    let changed = api.put(&path, json!({"status": "suspended", "username": "ada"})).await.is(200);
    let same = api.put(&path, json!({})).await.is(200);
    let deleted = api.delete(&path).await.is(200);

    assert_eq!(
        (&user["username"], &user["email"], &user["status"]),
        (&json!("ada"), &json!("ada@example.org"), &json!("active"))
    );
    assert_eq!(shown["user"], *user);
    assert_eq!(changed["changes"], json!({"status": {"from": "active", "to": "suspended"}}));
    assert_eq!(changed["user"]["status"], "suspended");
    assert_eq!((&same["changes"], &same["messageId"]), (&json!({}), &Value::Null));
    let events = api.events("stream=user:events").await;
    let types: Vec<_> = events.iter().map(|event| event["eventType"].as_str().expect("text")).collect();
    assert_eq!(types, ["user.deleted", "user.updated", "user.created"]);
    assert_eq!((&events[0]["id"], &events[2]["id"]), (&deleted["messageId"], &created["messageId"]));
    assert_eq!(events[1]["payload"]["changes"], changed["changes"]);
    api.get(&path).await.is_problem(404);
    api.put(&path, json!({})).await.is_problem(404);
    api.delete(&path).await.is_problem(404);
}

async fn bad_requests_are_told_what_is_wrong(lab: Lab) {
    let api = lab.api().await;
    let id = api.user("ada").await;
    api.user("grace").await;
    let raw = async |content_type: &str, body: &'static str| {
        let request = api.request(Method::POST, "/api/users").header("content-type", content_type).body(body);
        Answer::of(request.send().await.expect("answered")).await
    };

    raw("application/json", "{").await.is_problem(400);
    raw("text/plain", "{}").await.is_problem(415);
    raw("application/json", "[1]").await.is_problem(422);
    raw("application/json", r#"{"username":"x","email":"x","admin":true}"#).await.is_problem(422);
    let invalid = api.post("/api/users", json!({"username": "a b", "email": "nobody"})).await.is_problem(422);
    let fields: Vec<_> = invalid["errors"].as_array().expect("a list").iter().map(|e| &e["field"]).collect();
    assert_eq!(fields, ["username", "email"]);
    let large = json!({"username": "x".repeat(2 << 20), "email": "x@example.org"});
    api.post("/api/users", large).await.is_problem(413);
    api.put(&format!("/api/users/{id}"), json!({"id": "other"})).await.is_problem(422);
    let taken =
        api.put(&format!("/api/users/{id}"), json!({"email": "grace@example.org"})).await.is_problem(409);
    assert!(taken["detail"].as_str().expect("text").contains("email"), "{taken}");
    api.get("/api/users/nobody").await.is_problem(404);
    api.get("/api/users/%ff").await.is_problem(400);
    api.get("/api/users?limit=0").await.is_problem(422);
    api.get("/api/users?limit=201").await.is_problem(422);
    api.get("/api/users?limit=ten").await.is_problem(400);
    api.get("/api/users?cursor=next").await.is_problem(422);
    api.get("/api/nothing").await.is_problem(404);
    api.ask(Method::PATCH, "/api/users", None).await.is_problem(405);
    assert_eq!(api.stats().await["total"], 2, "nothing that was refused is published");
}

async fn two_writers_of_one_name_get_one_conflict(lab: Lab) {
    let api = lab.api().await;
    for round in 0..10 {
        let user = |mail: &str| json!({"username": format!("ada-{round}"), "email": format!("{mail}-{round}@example.org")});

        let (one, other) = tokio::join!(api.post("/api/users", user("a")), api.post("/api/users", user("b")));

        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{} {}", one.text, other.text);
    }
    assert_eq!(api.stats().await["total"], 10);
}

async fn users_come_in_pages(lab: Lab) {
    let api = lab.api().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(api.user(&format!("user-{number}")).await);
    }

    let (mut seen, mut path) = (Vec::new(), "/api/users?limit=2".to_owned());
    loop {
        let page = api.get(&path).await.is(200);
        let users = page["users"].as_array().expect("a list");
        assert_eq!(page["count"], users.len());
        seen.extend(users.iter().map(|user| user["id"].as_str().expect("an id").to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/users?limit=2&cursor={next}"),
            None => break,
        }
    }

    assert_eq!(seen, ids);
}
