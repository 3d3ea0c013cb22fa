//! Dead letters: searching them and replaying them.

use streamgate::stream::{
    DeadLetterFilter, DeadLetterQueue, EntryId, NotReplayable, REPLAY_OF, Replay, StreamKey,
};
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{Echo, REQUESTS, Worker, redis};

const LETTERS: &str = "{requests}:dlq";

fn queue(server: &RedisServer) -> DeadLetterQueue {
    DeadLetterQueue::new(redis(server), REQUESTS.parse::<StreamKey>().expect("a name"), 1_000)
}

/// Adds an entry whose names and values may be any bytes.
fn add(server: &RedisServer, stream: &str, fields: &[&[u8]]) -> EntryId {
    let mut cmd = redis::cmd("XADD");
    cmd.arg(stream).arg("*").arg(fields);
    server.run::<String>(&cmd).parse().expect("an id")
}

/// The fields of the only entry of a stream.
fn only(server: &RedisServer, stream: &str) -> Vec<Vec<u8>> {
    let entries: Vec<(String, Vec<Vec<u8>>)> = server.command(&["XRANGE", stream, "-", "+"]);
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.into_iter().next().expect("one").1
}

#[tokio::test]
async fn a_replayed_entry_equals_the_original_byte_for_byte() {
    let server = RedisServer::start();
    let queue = queue(&server);
    let original: [&[u8]; 10] =
        [b"n\xff", b"v\x00\xfe", b"twice", b"1", b"deadline", b"1", b"twice", b"2", b"", b""];
    let own: [&[u8]; 4] = [b"dlq_reason", b"because", b"dlq_attempts", b"3"];
    let id = add(&server, LETTERS, &[&own[..], &original].concat());

    let replay = queue.replay(id, &[("deadline", "99"), ("absent", "x")]).await.expect("an answer");

    let Replay::Replayed(entry) = replay else { panic!("{replay:?}") };
    assert!(entry > id);
    let mut expected: Vec<Vec<u8>> = original.iter().map(|bytes| bytes.to_vec()).collect();
    expected[5] = b"99".to_vec();
    expected.extend([REPLAY_OF.as_bytes().to_vec(), id.to_string().into_bytes()]);
    assert_eq!(only(&server, REQUESTS), expected);
    assert_eq!(queue.count().await.expect("a number"), 0);
    assert_eq!(queue.replay(id, &[]).await.expect("an answer"), Replay::NotFound);
}

#[tokio::test]
async fn an_entry_with_too_many_fields_is_not_replayed() {
    let server = RedisServer::start();
    let queue = queue(&server);
    let _worker = Worker::start(&server, "w1", Echo).await;
    let fields: Vec<String> = (0..2_400).map(|n| n.to_string()).collect();
    add(&server, REQUESTS, &fields.iter().map(String::as_bytes).collect::<Vec<_>>());
    eventually_async("the entry is a dead letter", async || queue.count().await.expect("a number") == 1)
        .await;

    let page = queue.search(&DeadLetterFilter::default(), None, 10).await.expect("a page");

    let letter = &page.letters[0];
    assert_eq!((letter.left_out, letter.fields.len(), letter.consumer.as_str()), (200, 1_000, "w1"));
    let refused = Replay::Refused(NotReplayable::FieldsLeftOut(200));
    assert_eq!(queue.replay(letter.id, &[]).await.expect("an answer"), refused);
    assert_eq!(queue.get(letter.id).await.expect("an answer").as_ref(), Some(letter));
}

#[tokio::test]
async fn a_page_of_large_letters_ends_early_with_a_next_position() {
    let server = RedisServer::start();
    let queue = queue(&server);
    let body = vec![b'x'; 1024 * 1024];
    let ids: Vec<EntryId> =
        (0..20).map(|_| add(&server, LETTERS, &[b"dlq_reason", b"r", b"body", &body])).collect();

    let first = queue.search(&DeadLetterFilter::default(), None, 500).await.expect("a page");
    let second = queue.search(&DeadLetterFilter::default(), first.next, 500).await.expect("a page");

    assert!(first.letters.len() < 20 && first.next.is_some(), "{} letters", first.letters.len());
    assert_eq!(second.next, None);
    let found: Vec<EntryId> = first.letters.iter().chain(&second.letters).map(|letter| letter.id).collect();
    assert_eq!(found, ids.into_iter().rev().collect::<Vec<_>>());
}
