//! Health: each threshold, and what an issue says.

use std::time::Duration;

use streamgate::stream::{IssueCode, Severity, Thresholds};
use streamgate::testing::RedisServer;

use super::{GROUP, STREAM, add, deliver, fields, stream};
use crate::harness::server_time_ms;

#[test]
fn the_default_thresholds_are_those_of_the_manual() {
    let thresholds = Thresholds::default();

    let hour = Duration::from_secs(3_600);
    assert_eq!((thresholds.length, thresholds.oldest_pending), (1_000_000, hour));
    let pending = (thresholds.pending, thresholds.pending_in_group, thresholds.consumers);
    assert_eq!(pending, (10_000, 1_000, 1));
}

#[tokio::test]
async fn a_stream_that_is_read_has_no_issue() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    stream.append(fields(1)).await.expect("stored");
    deliver(&server, "a", 1);

    let health = stream.health(&Thresholds::default()).await.expect("reads");

    assert!(health.issues.is_empty() && health.is_healthy(), "{:?}", health.issues);
    assert_eq!(health.state.expect("is there").length, 1);
}

#[tokio::test]
async fn every_threshold_that_is_reached_is_an_issue() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let old = server_time_ms(&server) - 3_600_000;
    for number in 0..5 {
        let _: String = server.command(&["XADD", STREAM, &format!("{old}-{number}"), "number", "1"]);
    }
    deliver(&server, "a", 4);
    let _: () = server.command(&["XGROUP", "CREATE", STREAM, "idle", "$"]);
    let strict = Thresholds { length: 5, pending: 4, pending_in_group: 4, ..Thresholds::default() };

    let health = stream.health(&strict).await.expect("reads");

    let mut found: Vec<_> = health
        .issues
        .iter()
        .map(|issue| (issue.code.as_str(), issue.group.as_deref(), issue.value))
        .collect();
    found.sort_unstable();
    // The age grows while the test runs.
    let age = health.issues.iter().find(|issue| issue.code == IssueCode::OldestPending).expect("an issue");
    assert!((3_600..3_660).contains(&age.value) && age.threshold == 3_600, "{age:?}");
    let expected = [
        ("consumers", Some("idle"), 0),
        ("length", None, 5),
        ("oldest_pending", Some(GROUP), age.value),
        ("pending", None, 4),
        ("pending_in_group", Some(GROUP), 4),
    ];
    assert_eq!(found, expected);
    assert!(health.issues.iter().all(|issue| issue.severity == Severity::Unhealthy));
    assert!(!health.is_healthy());
}

#[tokio::test]
async fn a_value_below_its_threshold_is_no_issue() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let young = server_time_ms(&server) - 1_800_000;
    let _: String = server.command(&["XADD", STREAM, &format!("{young}-0"), "number", "1"]);
    deliver(&server, "a", 1);
    let thresholds = Thresholds { length: 2, pending: 2, pending_in_group: 2, ..Thresholds::default() };

    let health = stream.health(&thresholds).await.expect("reads");

    assert!(health.issues.is_empty(), "{:?}", health.issues);
}

#[tokio::test]
async fn an_issue_says_what_to_do() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 1);
    let _: () = server.command(&["XGROUP", "CREATE", STREAM, GROUP, "$"]);

    let health = stream.health(&Thresholds::default()).await.expect("reads");

    let text = health.issues[0].to_string();
    assert!(text.starts_with("group billing: 0 consumers, fewer than 1; start a consumer"), "{text}");
}

#[tokio::test]
async fn a_missing_stream_is_a_warning() {
    let server = RedisServer::start();

    let health = stream(&server).await.health(&Thresholds::default()).await.expect("reads");

    assert!(health.state.is_none() && health.is_healthy());
    let issue = &health.issues[0];
    assert_eq!((issue.code, issue.severity), (IssueCode::Missing, Severity::Warning));
}
