//! Claiming: named entries, and idle ones page by page.

use std::time::Duration;

use streamgate::connection::ErrorKind;
use streamgate::stream::Claimed;
use streamgate::testing::RedisServer;

use super::{GROUP, add, deliver, fields, id, stream};

const NOT_IDLE: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn named_entries_are_claimed_and_the_others_told() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 5);
    deliver(&server, "a", 4);
    stream.delete(&[id(2)]).await.expect("deleted");
    stream.acknowledge(GROUP, &[id(3)]).await.expect("acknowledged");

    let named = [id(1), id(2), id(3), id(4), id(5), id(99)];
    let claimed = stream.claim(GROUP, "b", &named, Duration::ZERO).await.expect("claims");

    let entries: Vec<_> = claimed.entries.iter().map(|entry| (entry.id, &entry.fields)).collect();
    assert_eq!(entries, [(id(1), &fields(1)), (id(4), &fields(4))]);
    assert_eq!((claimed.lost, claimed.skipped), (vec![id(2)], vec![id(3), id(5), id(99)]));
    let pending = stream.pending(GROUP).await.expect("reads");
    assert_eq!(pending.by_consumer, [("b".to_owned(), 2)]);
}

#[tokio::test]
async fn an_entry_that_is_not_idle_for_long_is_not_claimed() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 2);
    deliver(&server, "a", 2);
    stream.delete(&[id(2)]).await.expect("deleted");

    let claimed = stream.claim(GROUP, "b", &[id(1), id(2)], NOT_IDLE).await.expect("claims");
    let mut idle = stream.claim_idle(GROUP, "b", NOT_IDLE);
    let page = idle.next_page(100).await.expect("claims").expect("a page");

    assert_eq!(claimed, Claimed { skipped: vec![id(1), id(2)], ..Claimed::default() });
    assert_eq!(page.entries, []);
    assert_eq!(stream.pending(GROUP).await.expect("reads").by_consumer[0].0, "a");
}

#[tokio::test]
async fn many_named_entries_are_claimed_in_order() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let all = add(&server, 250);
    deliver(&server, "a", 250);

    let claimed = stream.claim(GROUP, "b", &all, Duration::ZERO).await.expect("claims");

    assert!(claimed.entries.iter().map(|entry| entry.id).eq(all));
    assert_eq!((claimed.lost.len(), claimed.skipped.len()), (0, 0));
}

#[tokio::test]
async fn automatic_claims_see_every_idle_entry_once() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let all = add(&server, 100);
    deliver(&server, "a", 60);
    deliver(&server, "b", 40);
    let deleted = [id(7), id(8), id(90)];
    stream.delete(&deleted).await.expect("deleted");

    let mut idle = stream.claim_idle(GROUP, "c", Duration::ZERO);
    let (mut claimed, mut lost) = (Vec::new(), Vec::new());
    while let Some(page) = idle.next_page(9).await.expect("claims") {
        assert!(page.entries.len() <= 9);
        claimed.extend(page.entries.iter().map(|entry| entry.id));
        lost.extend(page.lost);
    }

    assert_eq!((&lost[..], idle.lost()), (&deleted[..], 3));
    assert!(claimed.iter().eq(all.iter().filter(|id| !deleted.contains(id))));
    let pending = stream.pending(GROUP).await.expect("reads");
    assert_eq!(pending.by_consumer, [("c".to_owned(), 97)]);
}

#[tokio::test]
async fn claims_of_a_missing_group_or_for_no_name_are_errors() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 1);

    let missing = stream.claim(GROUP, "a", &[id(1)], Duration::ZERO).await.expect_err("no group");
    let idle = stream.claim_idle(GROUP, "a", Duration::ZERO).next_page(1).await.expect_err("no group");
    let nameless = stream.claim(GROUP, "a b", &[id(1)], Duration::ZERO).await.expect_err("no name");

    assert_eq!([missing.kind(), idle.kind()], [ErrorKind::NoGroup; 2]);
    assert!(nameless.to_string().contains("`a b` is no name of a consumer"), "{nameless}");
}
