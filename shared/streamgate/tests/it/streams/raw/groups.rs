//! Groups: creating, destroying, listing, acknowledging.

use streamgate::connection::ErrorKind;
use streamgate::stream::{CreateGroupError, Start};
use streamgate::testing::RedisServer;

use super::{GROUP, STREAM, add, deliver, id, stream};

#[tokio::test]
async fn a_group_begins_where_it_was_created() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 3);

    for (name, start) in [("all", Start::Beginning), ("new", Start::End), ("some", Start::After(id(2)))] {
        stream.create_group(name, start).await.expect("created");
        stream.create_group(name, start).await.expect("the same start is fine");
    }

    let groups = stream.groups().await.expect("reads");
    let mut at: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.last_delivered)).collect();
    at.sort_unstable();
    assert_eq!(at, [("all", id(0)), ("new", id(3)), ("some", id(2))]);
}

#[tokio::test]
async fn a_group_is_created_with_its_stream() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    assert!(stream.groups().await.expect("no stream").is_empty());

    stream.create_group(GROUP, Start::End).await.expect("created");

    assert_eq!(stream.groups().await.expect("reads").len(), 1);
    assert_eq!(stream.len().await.expect("a number"), 0);
}

#[tokio::test]
async fn a_group_that_stands_elsewhere_is_not_silently_used() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 3);
    deliver(&server, "a", 1);

    for (start, wanted) in [(Start::End, id(3)), (Start::After(id(2)), id(2))] {
        let error = stream.create_group(GROUP, start).await.expect_err("stands elsewhere");
        let CreateGroupError::Elsewhere { at, wanted: told, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*at, *told), (id(1), wanted));
        let text = error.to_string();
        assert!(text.contains("read up to 1-0") && text.contains("destroy_group"), "{text}");
    }

    stream.create_group(GROUP, Start::Beginning).await.expect("existing is fine");
    stream.create_group(GROUP, Start::After(id(1))).await.expect("it stands there");
}

#[tokio::test]
async fn a_group_whose_name_is_none_is_refused() {
    let server = RedisServer::start();
    let stream = stream(&server).await;

    for name in ["", "a b", "ü", &"x".repeat(129)] {
        let error = stream.create_group(name, Start::Beginning).await.expect_err("refused");
        assert!(matches!(error, CreateGroupError::InvalidName { .. }), "{error:?}");
    }
    assert_eq!(server.command::<u64>(&["EXISTS", STREAM]), 0);
}

#[tokio::test]
async fn a_destroyed_group_leaves_the_entries_and_no_delays() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    assert!(!stream.destroy_group(GROUP).await.expect("no stream"));
    add(&server, 3);
    deliver(&server, "a", 2);
    let delayed = ["{orders}:delayed:billing", "{orders}:delayed-ids:billing"];
    for key in delayed {
        let _: u64 = server.command(&["ZADD", key, "1", "1-0 1"]);
    }

    assert!(stream.destroy_group(GROUP).await.expect("destroyed"));
    assert!(!stream.destroy_group(GROUP).await.expect("is gone"));

    assert!(stream.groups().await.expect("reads").is_empty());
    assert_eq!(stream.len().await.expect("a number"), 3);
    assert_eq!(server.command::<u64>(&["EXISTS", delayed[0], delayed[1]]), 0);
}

#[tokio::test]
async fn acknowledged_entries_are_counted_and_settled() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let all = add(&server, 2_500);
    deliver(&server, "a", 2_400);

    assert_eq!(stream.acknowledge(GROUP, &all).await.expect("acknowledged"), 2_400);
    assert_eq!(stream.acknowledge(GROUP, &all[..2]).await.expect("acknowledged"), 0);
    assert_eq!(stream.acknowledge("another", &all[..2]).await.expect("no group"), 0);

    assert_eq!(stream.pending(GROUP).await.expect("reads").count, 0);
    assert_eq!(stream.len().await.expect("a number"), 2_500);
}

#[tokio::test]
async fn consumers_are_listed_and_a_missing_group_is_an_error() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let missing = stream.consumers(GROUP).await.expect_err("no stream");
    add(&server, 5);
    deliver(&server, "a", 2);
    deliver(&server, "b", 1);

    let mut consumers = stream.consumers(GROUP).await.expect("reads");

    consumers.sort_by(|a, b| a.name.cmp(&b.name));
    let pending: Vec<_> = consumers.iter().map(|one| (one.name.as_str(), one.pending)).collect();
    assert_eq!(pending, [("a", 2), ("b", 1)]);
    let absent = stream.consumers("absent").await.expect_err("no group");
    assert_eq!([missing.kind(), absent.kind()], [ErrorKind::NoGroup; 2]);
}
