//! Values of megabytes, and values that are too large for the server.

use std::time::Duration;

use streamgate::fields::Fields;
use streamgate::resilience::BreakerState;
use streamgate::stream::{AppendError, RedisStream};
use streamgate::testing::RedisServer;

use super::{STREAM, connect, fields, stored, stream};

fn of_size(bytes: usize) -> Fields {
    Fields::from_iter([("body", vec![b'x'; bytes])])
}

#[tokio::test]
async fn a_value_of_64_mib_is_stored_and_read() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let body = of_size(64 << 20);

    let id = stream.append(body.clone()).await.expect("stored");

    let entry = stream.get(id).await.expect("reads").expect("is there");
    assert!(entry.fields == body);
    let mut entries = stream.range(..);
    assert!(entries.next().await.expect("an entry").expect("read").value == body);
    assert!(entries.next().await.is_none());
}

#[tokio::test]
async fn a_value_above_the_servers_limit_is_refused_unsent() {
    let server = RedisServer::start();
    let redis = connect(&server.url()).await;
    let stream = RedisStream::new(&redis, STREAM).expect("a name");
    let _: () = server.command(&["CONFIG", "SET", "proto-max-bulk-len", "2mb"]);

    let error = stream.append(of_size(3 << 20)).await.expect_err("too large");
    let in_batch = [fields(1), of_size(3 << 20), fields(2)];
    let in_batch = stream.append_batch(in_batch).await.expect_err("too large");

    let AppendError::TooLarge { bytes, limit, setting } = error else { panic!("{error:?}") };
    assert_eq!((bytes, limit, setting), (3 << 20, 2 << 20, "proto-max-bulk-len"));
    assert!(matches!(in_batch.source, AppendError::TooLarge { .. }), "{in_batch}");
    assert_eq!((in_batch.position, stored(&server).len()), (1, 1));
    stream.append(of_size(2 << 20)).await.expect("stored");
    stream.append(fields(2)).await.expect("stored");
    assert_eq!(redis.circuit().state(), BreakerState::Closed);
}

#[tokio::test]
async fn an_entry_larger_than_the_servers_buffer_is_refused_unsent() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let _: () = server.command(&["CONFIG", "SET", "client-query-buffer-limit", "2mb"]);
    let parts = (0..4).map(|n| (format!("part-{n}"), vec![b'x'; 700_000]));

    let error = stream.append(parts.collect()).await.expect_err("too large");

    let refused = matches!(error, AppendError::TooLarge { setting: "client-query-buffer-limit", .. });
    assert!(refused, "{error:?}");
    assert!(stored(&server).is_empty());
}

#[tokio::test]
async fn a_limit_that_the_server_does_not_tell_ends_in_an_error() {
    let server = RedisServer::start();
    let _: () = server.command(&["ACL", "SETUSER", "bob", "on", ">secret", "~*", "+@all", "-config"]);
    let url = format!("unix://{}?user=bob&pass=secret", server.socket().display());
    let redis = connect(&url).await;
    let stream = RedisStream::new(&redis, STREAM).expect("a name").patience(Duration::from_millis(50));
    stream.append(of_size(2 << 20)).await.expect("stored");
    let _: () = server.command(&["CONFIG", "SET", "proto-max-bulk-len", "2mb"]);

    let error = stream.append(of_size(32 << 20)).await.expect_err("too large");

    let typed = matches!(error, AppendError::Unconfirmed(_) | AppendError::Redis(_));
    assert!(typed, "{error:?}");
    stream.patience(Duration::from_secs(20)).append(fields(1)).await.expect("stored");
    assert_eq!(stored(&server).len(), 2);
}
