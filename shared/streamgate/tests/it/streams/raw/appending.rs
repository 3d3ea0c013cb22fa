//! Appending one entry: own ids, caps, refusals, outages.

use std::time::Duration;

use streamgate::connection::ErrorKind;
use streamgate::fields::Fields;
use streamgate::resilience::BreakerState;
use streamgate::stream::{AppendError, AppendOptions, Cap, EntryId, RedisStream};
use streamgate::testing::{Link, RedisServer, eventually_async};

use super::{STREAM, connect, fields, id, make_string, stored, stream};

fn with_id(id: EntryId) -> AppendOptions {
    AppendOptions { id: Some(id), ..AppendOptions::default() }
}

#[tokio::test]
async fn entries_appended_one_after_the_other_are_in_order() {
    let server = RedisServer::start();
    let stream = stream(&server).await;

    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(stream.append(fields(number)).await.expect("stored"));
    }

    assert_eq!(stored(&server), ids);
    let third = stream.get(ids[3]).await.expect("reads").expect("is there");
    assert_eq!(third.fields, fields(3));
}

#[tokio::test]
async fn appends_of_many_tasks_are_all_stored() {
    let server = RedisServer::start();
    let stream = stream(&server).await;

    let appends = (0..2_000).map(|number| stream.append(fields(number)));
    let mut ids = futures_util::future::try_join_all(appends).await.expect("stored");

    ids.sort_unstable();
    assert_eq!(stored(&server), ids);
}

#[tokio::test]
async fn an_own_id_must_be_greater_than_the_last_one() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let empty = stream.append_with(fields(0), with_id(EntryId::MIN)).await.expect_err("no id");
    assert_eq!(stream.append_with(fields(1), with_id(id(7))).await.expect("stored"), id(7));
    stream.append_with(fields(2), with_id(id(9))).await.expect("stored");
    stream.delete(&[id(9)]).await.expect("deleted");

    for smaller in [EntryId::MIN, id(7), id(8), id(9)] {
        let error = stream.append_with(fields(3), with_id(smaller)).await.expect_err("not greater");

        let AppendError::NotGreater { id: refused, last } = error else { panic!("{error:?}") };
        assert_eq!((refused, last), (smaller, id(9)));
    }

    assert!(matches!(empty, AppendError::NotGreater { last: EntryId::MIN, .. }), "{empty:?}");
    assert_eq!(stored(&server), [id(7)]);
}

#[tokio::test]
async fn an_own_id_is_stored_once_although_its_answer_was_lost() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let stream = RedisStream::new(&connect(&link.url()).await, STREAM).expect("a name");
    stream.append_with(fields(1), with_id(id(1))).await.expect("stored");
    link.cut_next_reply();

    let again = stream.append_with(fields(2), with_id(id(2))).await.expect("stored");

    assert_eq!((again, stored(&server)), (id(2), vec![id(1), id(2)]));
    // Another entry under this id is no repetition.
    link.cut_next_reply();
    let other = stream.append_with(fields(3), with_id(id(2))).await.expect_err("not greater");
    assert!(matches!(other, AppendError::NotGreater { .. }), "{other:?}");
}

#[tokio::test]
async fn a_stream_is_not_created_if_that_is_asked_for() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let options = AppendOptions { no_make_stream: true, ..AppendOptions::default() };

    let error = stream.append_with(fields(1), options).await.expect_err("no stream");
    stream.append(fields(1)).await.expect("stored");
    stream.append_with(fields(2), options).await.expect("stored");

    assert!(error.to_string().contains("no stream orders"), "{error}");
    assert_eq!(stored(&server).len(), 2);
}

#[tokio::test]
async fn entries_are_deleted_by_an_append_only_if_asked_for() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let capped = |cap| AppendOptions { cap: Some(cap), ..AppendOptions::default() };

    for number in 0..1_000 {
        stream.append(fields(number)).await.expect("stored");
    }
    assert_eq!(stream.len().await.expect("a number"), 1_000);

    stream.append_with(fields(1_000), capped(Cap::MaxLenApprox(300))).await.expect("stored");
    let about = stream.len().await.expect("a number");
    assert!((300..=500).contains(&about), "{about}");

    let newest = stream.append_with(fields(1_001), capped(Cap::MaxLen(3))).await.expect("stored");
    assert_eq!(stored(&server).len(), 3);
    assert_eq!(stored(&server).last(), Some(&newest));
}

#[tokio::test]
async fn an_entry_without_fields_is_refused() {
    let server = RedisServer::start();

    let error = stream(&server).await.append(Fields::default()).await.expect_err("no fields");

    assert!(matches!(error, AppendError::NoFields), "{error:?}");
}

#[tokio::test]
async fn a_key_of_another_type_says_what_to_do() {
    let server = RedisServer::start();
    make_string(&server);
    let stream = stream(&server).await;

    let error = stream.append(fields(1)).await.expect_err("no stream");

    let AppendError::Redis(cause) = &error else { panic!("{error:?}") };
    assert_eq!(cause.kind(), ErrorKind::WrongType);
    assert!(!cause.is_transient() && error.to_string().contains("rename or delete the key"), "{error}");
    for result in [stream.len().await, stream.delete(&[id(1)]).await, stream.acknowledge("g", &[id(1)]).await]
    {
        assert_eq!(result.expect_err("no stream").kind(), ErrorKind::WrongType);
    }
    assert_eq!(stream.info().await.expect_err("no stream").kind(), ErrorKind::WrongType);
    assert_eq!(stream.groups().await.expect_err("no stream").kind(), ErrorKind::WrongType);
}

#[test]
fn a_name_that_is_none_is_refused() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let redis = streamgate::connection::Redis::builder().open().expect("opens");

    for name in ["", "a b", "a\nb", "{a}{b}"] {
        let error = RedisStream::new(&redis, name).err().expect("refused");
        assert!(error.to_string().contains("must be"), "{error}");
    }
}

#[tokio::test]
async fn an_append_waits_for_a_server_that_comes_back() {
    let mut server = RedisServer::start_durable();
    let redis = connect(&server.url()).await;
    let stream = RedisStream::new(&redis, STREAM).expect("a name").patience(Duration::from_secs(60));
    stream.append(fields(1)).await.expect("stored");
    server.kill();
    let append = tokio::spawn(async move { stream.append(fields(2)).await });
    // From now on the writer gives up each entry after its first try.
    eventually_async("the circuit is open", async || redis.circuit().state() == BreakerState::Open).await;

    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });

    let server = server.await.expect("starts");
    append.await.expect("no panic").expect("stored");
    assert_eq!(stored(&server).len(), 2);
}

#[tokio::test]
async fn an_append_to_a_server_that_stays_away_is_an_error() {
    let mut server = RedisServer::start();
    let stream = stream(&server).await.patience(Duration::from_millis(50));
    server.kill();

    let error = stream.append(fields(1)).await.expect_err("nobody answers");

    let (AppendError::Redis(cause) | AppendError::Unconfirmed(cause)) = &error else { panic!("{error:?}") };
    assert!(cause.is_about_the_connection(), "{error}");
}
