//! Writers.

use std::time::Duration;

use streamgate::channel::{Message, WriteError};
use streamgate::connection::ErrorKind;
use streamgate::stream::{AppendError, BatchError, EntryId, Retention};
use streamgate::testing::{RedisServer, eventually_async};

use super::{STREAM, channel, length, next, pending, reader, send};

#[tokio::test]
async fn the_ids_of_a_batch_are_in_the_order_of_its_values() {
    let server = RedisServer::start();
    let sent: Vec<u64> = (0..2_000).collect();

    let ids = send(&server, sent.clone()).await;

    assert!(ids.is_sorted_by(|a, b| a < b), "each id is greater than the one before");
    let mut replay = channel(&server).replay(EntryId::MIN..).await.expect("reads");
    for (id, value) in ids.into_iter().zip(sent) {
        let item = replay.next().await.expect("an entry").expect("decodes");
        assert_eq!((item.id, item.value), (id, value));
    }
    assert!(replay.next().await.is_none());
}

#[tokio::test]
async fn a_value_travels_with_further_fields() {
    let server = RedisServer::start();
    let writer = channel(&server).writer();

    writer.send_with(&7, [("traceparent", "00-1"), ("lang", "")]).await.expect("stored");
    writer.send(&8).await.expect("stored");

    let mut reader = reader(&server, "a").await.expect("starts");
    let (with, without) = (next(&mut reader).await, next(&mut reader).await);
    let names = |message: &Message<u64>| -> Vec<String> {
        message.fields().iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    };
    assert_eq!((with.value, with.fields().text("traceparent")), (7, Some("00-1")));
    assert_eq!(names(&with), ["content_type", "body", "traceparent", "lang"]);
    assert_eq!((without.value, names(&without)), (8, ["content_type", "body"].map(str::to_owned).into()));
}

#[tokio::test]
async fn a_writer_deletes_entries_only_if_it_is_told_to() {
    let server = RedisServer::start();
    let channel = channel(&server);
    channel.writer().send_batch(&vec![0; 1_000]).await.expect("stored");
    assert_eq!(length(&server, STREAM), 1_000);

    let bounded = channel.writer().max_len(10);
    bounded.send_batch(&vec![1; 100]).await.expect("stored");
    assert_eq!(length(&server, STREAM), 10);
    bounded.send(&2).await.expect("stored");

    assert_eq!(length(&server, STREAM), 10);
}

#[tokio::test]
async fn a_reader_trims_only_what_is_acknowledged() {
    let server = RedisServer::start();
    let ids = send(&server, 0..20).await;
    let none = Retention { entries: 0, age: Duration::ZERO, bytes: 0 };
    let mut reader = reader(&server, "a").keep(none).await.expect("starts");

    let held = next(&mut reader).await;
    for _ in 0..10 {
        next(&mut reader).await.acknowledge().await.expect("acknowledged");
    }

    assert_eq!(length(&server, STREAM), 20, "the first is not acknowledged");
    held.acknowledge().await.expect("acknowledged");
    eventually_async("the finished entries are trimmed", async || length(&server, STREAM) == 10).await;
    let first: Vec<(String, redis::Value)> = server.command(&["XRANGE", STREAM, "-", "+", "COUNT", "1"]);
    assert_eq!(first[0].0, ids[10].to_string());
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn a_refused_batch_says_what_is_stored() {
    let server = RedisServer::start();
    server.command::<()>(&["SET", STREAM, "text"]);
    let writer = channel(&server).writer();

    let error = writer.send_batch(&[1, 2, 3]).await.expect_err("no stream");

    let WriteError::Batch(BatchError { position, stored, uncertain, source }) = error else {
        panic!("{error}")
    };
    assert_eq!((position, stored, uncertain), (0, vec![], 0..0));
    assert!(matches!(&source, AppendError::Redis(error) if error.kind() == ErrorKind::WrongType), "{source}");
}

#[tokio::test]
async fn a_write_without_a_server_fails_with_a_kind() {
    let mut server = RedisServer::start();
    let writer = channel(&server).writer().patience(Duration::from_millis(10));
    writer.send(&1).await.expect("stored");
    server.kill();

    let error = writer.send(&2).await.expect_err("no server");

    let (AppendError::Redis(source) | AppendError::Unconfirmed(source)) = append_error(error) else {
        panic!("another error")
    };
    assert!(matches!(source.kind(), ErrorKind::Unreachable | ErrorKind::NotServing), "{source}");
}

fn append_error(error: WriteError) -> AppendError {
    match error {
        WriteError::Append(error) => error,
        other => panic!("{other}"),
    }
}
