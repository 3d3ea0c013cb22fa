//! Pending entries: the summary, and details by consumer, idle time and range.

use std::ops::Bound;
use std::time::Duration;

use streamgate::connection::ErrorKind;
use streamgate::stream::{PendingQuery, PendingSummary};
use streamgate::testing::RedisServer;

use super::{GROUP, STREAM, add, deliver, id, stream};

/// Sets the idle time of a pending entry.
fn let_idle(server: &RedisServer, consumer: &str, ms: u64, idle: Duration) {
    let (id, idle) = (id(ms).to_string(), idle.as_millis().to_string());
    let claim = ["XCLAIM", STREAM, GROUP, consumer, "0", &id, "IDLE", &idle, "RETRYCOUNT", "3", "JUSTID"];
    let _: redis::Value = server.command(&claim);
}

#[tokio::test]
async fn the_summary_counts_pending_entries_by_consumer() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 5);
    deliver(&server, "a", 3);
    deliver(&server, "b", 1);

    let summary = stream.pending(GROUP).await.expect("reads");

    let by_consumer = vec![("a".to_owned(), 3), ("b".to_owned(), 1)];
    let expected = PendingSummary { count: 4, first: Some(id(1)), last: Some(id(4)), by_consumer };
    assert_eq!(summary, expected);
}

#[tokio::test]
async fn a_group_without_pending_entries_has_an_empty_summary() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    deliver(&server, "a", 1);

    assert_eq!(stream.pending(GROUP).await.expect("reads"), PendingSummary::default());
    assert!(stream.pending_entries(GROUP, &PendingQuery::default()).await.expect("reads").is_empty());
}

#[tokio::test]
async fn details_are_selected_by_consumer_idle_time_and_range() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 6);
    deliver(&server, "a", 4);
    deliver(&server, "b", 2);
    let hour = Duration::from_secs(3_600);
    let_idle(&server, "a", 2, hour);
    let_idle(&server, "b", 5, hour);
    let select = async |query: PendingQuery| {
        let found = stream.pending_entries(GROUP, &query).await.expect("reads");
        found.iter().map(|entry| entry.id.ms).collect::<Vec<_>>()
    };
    let any = PendingQuery::default;

    assert_eq!(select(any()).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(select(PendingQuery { consumer: Some("b".to_owned()), ..any() }).await, [5, 6]);
    assert_eq!(select(PendingQuery { min_idle: hour, ..any() }).await, [2, 5]);
    let all = PendingQuery { consumer: Some("a".to_owned()), min_idle: hour, ..any() };
    assert_eq!(select(all).await, [2]);
    let page = PendingQuery { start: Bound::Excluded(id(2)), most: 2, ..any() };
    assert_eq!(select(page).await, [3, 4]);
    let range = PendingQuery { start: Bound::Included(id(2)), end: Bound::Excluded(id(4)), ..any() };
    assert_eq!(select(range).await, [2, 3]);

    let idle = stream.pending_entries(GROUP, &PendingQuery { min_idle: hour, ..any() }).await.expect("reads");
    assert_eq!((idle[0].consumer.as_str(), idle[0].deliveries), ("a", 3));
    assert!(idle[0].idle >= hour);
}

#[tokio::test]
async fn pending_entries_of_a_missing_group_are_an_error() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let query = PendingQuery::default();

    let no_stream = stream.pending(GROUP).await.expect_err("no stream");
    add(&server, 1);
    let no_group = stream.pending_entries(GROUP, &query).await.expect_err("no group");

    assert_eq!([no_stream.kind(), no_group.kind()], [ErrorKind::NoGroup; 2]);
}
