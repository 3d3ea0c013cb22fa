//! Probes, metrics and the description.

use serde_json::{Value, json};
use streamgate::testing::eventually_async;

use crate::harness::{Lab, on_both_databases};

on_both_databases![health_tells_the_truth, the_description_matches_the_routes];

async fn health_tells_the_truth(lab: Lab) {
    let mut lab = lab.with_own_server();
    let api = lab.api().await;
    let parts = async || {
        let answer = api.get("/health").await;
        let health = answer.is(answer.status);
        (answer.status, health["status"].clone(), health["database"].clone(), health["redis"].clone())
    };
    let healthy = (200, json!("ok"), json!("up"), json!("up"));
    eventually_async("all is well", async || parts().await == healthy).await;

    lab.redis.kill();
    let without_redis = (503, json!("degraded"), json!("up"), json!("down"));
    eventually_async("Redis is down", async || parts().await == without_redis).await;
    assert_eq!(api.get("/readyz").await.status, 200, "without Redis, users can be created");
    lab.redis.restart();
    eventually_async("Redis is up", async || parts().await == healthy).await;
    let outage = lab.database.outage().await;
    let without_database = (503, json!("degraded"), json!("down"), json!("up"));
    eventually_async("the database is down", async || parts().await == without_database).await;
    eventually_async("it is not ready", async || api.get("/readyz").await.status == 503).await;
    let not_ready = api.get("/readyz").await.is_problem(503);
    outage.end().await;

    assert_eq!(not_ready["detail"], "not ready: database");
    eventually_async("all is well again", async || parts().await == healthy).await;
    eventually_async("it is ready again", async || api.get("/readyz").await.status == 200).await;
    assert_eq!(api.get("/livez").await.text, "ok\n");
    assert!(api.get("/metrics").await.text.contains("events_outbox 0"));
    let address = api.url.trim_start_matches("http://").to_owned();
    let asked =
        lab.command(&["healthcheck", "--ready"], &[("EVENTS_LISTEN", &address)]).output().expect("it runs");
    assert!(asked.status.success(), "{asked:?}");
    assert!(api.stop());
}

async fn the_description_matches_the_routes(lab: Lab) {
    let api = lab.api().await;
    let document = api.get("/api-docs/openapi.json").await.is(200);

    let paths = document["paths"].as_object().expect("paths");
    let operations: Vec<(&String, &String, &Value)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().expect("methods").iter().map(move |(m, o)| (path, m, o))
        })
        .collect();
    for (path, method, operation) in &operations {
        assert!(operation["summary"].is_string(), "{method} {path} has no summary");
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let content = response["content"].as_object().expect("a body");
            let (kind, body) = content.iter().next().expect("one body");
            let has_example = body.get("example").is_some() || body["schema"].is_object();
            assert!(has_example, "{method} {path} {status} has no example");
            assert_eq!(
                kind == "application/problem+json",
                status != "200" && status != "201" && *path != "/health"
            );
        }
    }
    for row in [
        "post /api/users",
        "get /api/users",
        "get /api/users/{id}",
        "put /api/users/{id}",
        "delete /api/users/{id}",
        "get /api/users/{id}/events",
        "post /api/events/chat",
        "post /api/events/tasks",
        "post /api/events/tasks/{id}/complete",
        "post /api/events/logs",
        "post /api/events/custom",
        "post /api/events/batch",
        "get /api/events/processed",
        "get /api/events/stats",
        "get /api/events/info",
        "get /api/monitoring/streams",
        "get /api/monitoring/streams/{name}",
        "get /api/monitoring/streams/{name}/groups",
        "get /api/monitoring/streams/{name}/messages",
        "get /api/monitoring/redis/info",
        "get /api/monitoring/redis/ping",
        "post /api/auth/login",
        "get /health",
        "get /readyz",
        "get /livez",
        "get /metrics",
    ] {
        assert!(operations.iter().any(|(path, method, _)| row == format!("{method} {path}")), "{row}");
    }
    assert!(api.get("/").await.text.contains("swagger-ui"), "/ leads to the page");
    assert!(api.get("/api-docs").await.text.contains("swagger-ui"), "as does /api-docs");
}
