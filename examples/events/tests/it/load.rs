//! Many events: the statistics add up exactly.

use serde_json::json;
use streamgate::testing::eventually_async;

use crate::harness::{Lab, on_both_databases};

on_both_databases![ten_thousand_events_add_up];

const COUNT: u64 = 10_000;

async fn ten_thousand_events_add_up(lab: Lab) {
    let patient = [("EVENTS_DATABASE_TIMEOUT", "20s")];
    let api = lab.api_with(&patient).await;
    let _consumers = (lab.member("m1"), lab.member("m2"), lab.process("tally", &["consumer"], &[]));
    let load = ["load-test", &COUNT.to_string(), "50"];

    let mut command = lab.command(&load, &[("EVENTS_URL", &api.url)]);
    let done =
        tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it starts");

    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    eprintln!("{said}");
    let (stats, quarter) = (api.stats().await, COUNT / 4);
    assert_eq!((&stats["total"], &stats["processed"]), (&json!(COUNT), &json!(COUNT)));
    assert_eq!((&stats["pending"], &stats["errors"]), (&json!(0), &json!(0)));
    let effects = json!({
        "userChanges": quarter, "chatMessages": quarter, "taskChanges": quarter, "logLines": quarter,
    });
    assert_eq!(stats["effects"], effects);
    eventually_async("the simple consumer has counted all", async || {
        api.stats().await["tallies"] == json!([{"reader": "tally", "entries": COUNT}])
    })
    .await;
    let inspect = lab.command(&["inspect", "--output", "json"], &[]).output().expect("it runs");
    let report: serde_json::Value = serde_json::from_slice(&inspect.stdout).expect("JSON");
    assert_eq!((&report["outbox"], &report["events"]["processed"]), (&json!(0), &json!(COUNT)));
}
