//! Replay joins the live tail with nothing lost and nothing twice; what was trimmed or deleted is told.

use std::thread;

use serde_json::json;
use streamgate::testing::{RedisServer, eventually};

use crate::harness::{Replica, Sse};

/// Reads up to the message `last`, cutting the connection after every `cut` messages and coming back elsewhere.
fn read_all(replicas: &[Replica; 2], cut: usize, last: &str) -> Vec<String> {
    let (mut contents, mut last_event_id) = (Vec::<String>::new(), "0-0".to_owned());
    for turn in 0.. {
        let replica = &replicas[turn % 2];
        let mut client = replica.listen("userId=u1", Some(&last_event_id));
        for _ in 0..cut {
            contents.push(client.content());
            if contents.last().is_some_and(|content| content == last) {
                return contents;
            }
        }
        last_event_id = client.last_event_id;
    }
    contents
}

#[test]
fn joining_under_load_loses_nothing_and_repeats_nothing() {
    let server = RedisServer::start();
    let replicas = &[Replica::start(&server, &[]), Replica::start(&server, &[])];

    let read = thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let replica = &replicas[sender % 2];
                scope.spawn(move || (0..150).for_each(|n| drop(replica.send(&format!("{sender} {n}")))))
            })
            .collect();
        let clients: Vec<_> =
            [1, 2, 7, 30, 1_000].map(|cut| scope.spawn(move || read_all(replicas, cut, "the end"))).into();
        for sender in senders {
            sender.join().expect("sent");
        }
        replicas[0].send("the end");
        clients.into_iter().map(|client| client.join().expect("read")).collect::<Vec<_>>()
    });

    assert_eq!(read[0].len(), 601);
    for other in &read[1..] {
        assert!(*other == read[0], "two clients got different chats");
    }
    for sender in 0..4 {
        let of: Vec<_> =
            read[0].iter().filter(|content| content.starts_with(&format!("{sender} "))).collect();
        let sent: Vec<_> = (0..150).map(|n| format!("{sender} {n}")).collect();
        assert_eq!(of, sent.iter().collect::<Vec<_>>(), "sender {sender}: once each, in order");
    }
}

#[test]
fn what_was_trimmed_is_a_gap_with_its_ids() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[("CHAT_KEPT", "10")]);
    let ids: Vec<_> = (0..30).map(|n| replica.send(&n.to_string())).collect();
    assert_eq!(crate::harness::stored(&server), 10);

    // The first replica still has them in its queue.
    let mut in_queue = replica.listen("userId=u1", Some(&ids[4]));
    let replica = Replica::start(&server, &[("CHAT_KEPT", "10")]);
    let mut client = replica.listen("userId=u1", Some(&ids[4]));

    assert_eq!(in_queue.content(), "5");
    let gap = client.event().expect("an event");
    assert_eq!((gap.event.as_str(), &gap.data["reason"]), ("gap", &json!("trimmed")));
    let (from, to) = (gap.data["from"].as_str().expect("an id"), gap.data["to"].as_str().expect("an id"));
    assert!(is_after(from, &ids[4]) && !is_after(from, &ids[5]), "{from}, {ids:?}");
    assert!(!is_after(&ids[19], to) && is_after(&ids[20], to), "{to}, {ids:?}");
    assert_eq!(gap.id.as_deref(), Some(to), "it is told once: the client comes back after the gap");
    assert_eq!(client.contents(10), (20..30).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// True if the first id is after the second.
fn is_after(first: &str, second: &str) -> bool {
    let numbers = |id: &str| -> Vec<u64> { id.split('-').map(|n| n.parse().expect("a number")).collect() };
    numbers(first) > numbers(second)
}

#[test]
fn a_stream_that_was_deleted_is_told_and_goes_on() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[("CHAT_HEARTBEAT", "100ms")]);
    let mut client = replica.listen("userId=u1", None);
    replica.send("before");
    assert_eq!(client.content(), "before");

    let _: u64 = server.command(&["DEL", "chat-messages"]);
    let _: String = server.command(&["XADD", "chat-messages", "1-1", "hello", "there"]);
    let started = client.event().expect("an event");

    assert_eq!((started.event.as_str(), started.id.as_deref()), ("started-over", Some("0-0")));
    while client.block().expect("the entry, then a heartbeat").comment.is_none() {}
    assert_eq!(client.last_event_id, "1-1", "no heartbeat brings back an id of the old stream");
    replica.send("after");
    assert_eq!(client.content(), "after");
}

#[test]
fn a_full_replica_sends_clients_elsewhere_and_frees_places() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[("CHAT_MAX_CLIENTS", "2")]);
    let connect = || Sse::connect(replica.address, "userId=u1", None, "");
    let first = connect().map_err(|_| "refused").expect("a place");
    let _second = connect().map_err(|_| "refused").expect("a place");

    let refused = connect().expect_err("no place");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{refused:?}");
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    drop(first);

    eventually("the place is free again", || connect().is_ok());
}
