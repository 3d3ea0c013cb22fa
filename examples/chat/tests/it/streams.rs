//! What a client gets: messages, replays, rooms, roles, who is typing, heartbeats.

use serde_json::json;
use streamgate::testing::{RedisServer, eventually};

use crate::harness::{Replica, message};

#[test]
fn a_message_is_an_event_with_its_id_on_every_replica() {
    let server = RedisServer::start();
    let (first, second) = (Replica::start(&server, &[]), Replica::start(&server, &[]));
    let mut clients = [first.listen("userId=u1", None), second.listen("userId=u2", None)];

    let answer = first.post("/api/chat/send", &message("Grüße,\n\"all\" \u{2028}"));

    let sent = answer.json();
    assert_eq!((answer.status, sent.as_object().expect("an object").len()), (200, 2), "{sent}");
    for client in &mut clients {
        assert!(client.head.contains("content-type: text/event-stream\r\n"), "{}", client.head);
        assert!(client.head.contains("cache-control: no-store\r\n"), "{}", client.head);
        let welcome = client.block().expect("a welcome");
        assert!((1_000..=2_000).contains(&welcome.retry.expect("retry")), "{welcome:?}");
        assert_eq!(welcome.id.as_deref(), Some("0-0"), "the place to come back to");
        let event = client.event().expect("an event");
        assert_eq!((event.event.as_str(), event.id.as_deref()), ("chat-message", sent["messageId"].as_str()));
        let data = json!({
            "id": sent["messageId"], "userId": "u1", "userName": "Ann", "userRole": "customer",
            "content": "Grüße,\n\"all\" \u{2028}", "timestamp": sent["timestamp"],
        });
        assert_eq!(event.data, data);
    }
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed_once() {
    let server = RedisServer::start();
    let (first, second) = (Replica::start(&server, &[]), Replica::start(&server, &[]));
    let mut client = first.listen("userId=u1", None);
    first.send("1");
    assert_eq!(client.content(), "1");
    let last = client.last_event_id.clone();
    drop(client);
    (2..=300).for_each(|n| drop(second.send(&n.to_string())));

    let mut back = second.listen("userId=u1", Some(&last));
    let mut all = first.listen("userId=u1", Some("0-0"));

    let missed: Vec<String> = (2..=300).map(|n| n.to_string()).collect();
    assert_eq!(back.contents(299), missed);
    assert_eq!(all.contents(300)[1..], missed);
    first.send("new");
    assert_eq!((back.content(), all.content()), ("new".to_owned(), "new".to_owned()));
}

#[test]
fn a_client_without_an_id_gets_new_messages_only_or_a_history() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[]);
    for n in 0..40 {
        replica.send(&format!("old {n}"));
        replica.send_to("other", "noise");
    }

    let mut new = replica.listen("userId=u1", None);
    let mut history = replica.listen("userId=u1&history=3", None);
    let mut all = replica.listen("userId=u1&history=1000", None);
    let mut back = replica.listen("userId=u1&history=3", Some("0-0"));
    replica.send("new");

    assert_eq!(new.content(), "new");
    assert_eq!(history.contents(4), ["old 37", "old 38", "old 39", "new"]);
    assert_eq!(all.contents(41)[..2], ["old 0", "old 1"]);
    assert_eq!(back.content(), "old 0", "the id of an event counts more");
}

#[test]
fn rooms_and_roles_are_kept_apart() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[]);
    let send = |room: &str, role: &str, content: &str| {
        let body = json!({"userId": "u", "userName": "N", "userRole": role, "content": content});
        assert_eq!(replica.post(&format!("/api/chat/send?room={room}"), &body.to_string()).status, 200);
    };
    let mut general = replica.listen("userId=u1", None);
    let mut desk = replica.listen("userId=u1&room=desk", None);
    let mut admins = replica.listen("userId=u1&room=desk&role=admin", None);
    let mut customers = replica.listen("userId=u1&room=desk&role=customer", None);

    send("desk", "customer", "a");
    send("general", "admin", "b");
    send("desk", "admin", "c");
    send("desk", "customer", "d");
    send("Desk", "admin", "another room");
    send("general", "customer", "e");

    assert_eq!(general.contents(2), ["b", "e"]);
    assert_eq!(desk.contents(3), ["a", "c", "d"]);
    assert_eq!(customers.contents(2), ["a", "d"]);
    assert_eq!(admins.content(), "c");
    let mut replayed = replica.listen("userId=u1&room=desk&role=admin", Some("0-0"));
    assert_eq!(replayed.content(), "c");
}

#[test]
fn others_in_the_room_see_who_is_typing_and_nothing_is_stored() {
    let server = RedisServer::start();
    let (first, second) = (Replica::start(&server, &[]), Replica::start(&server, &[]));
    let mut other = second.listen("userId=u2", None);
    let mut own = first.listen("userId=u1", None);
    let mut elsewhere = second.listen("userId=u3&room=desk", None);
    let body = json!({"userId": "u1", "userName": "Ann"}).to_string();
    let typing = || assert_eq!(first.post("/api/chat/typing", &body).status, 204);

    // A notice may be lost until both replicas have subscribed.
    eventually("both replicas listen to who is typing", || {
        let channels: (String, u64) = server.command(&["PUBSUB", "NUMSUB", "chat-messages:typing"]);
        channels.1 == 2
    });
    typing();
    let event = other.event().expect("an event");
    first.send_to("desk", "to desk");
    first.send("to all");

    assert_eq!((event.event.as_str(), event.id), ("typing", None));
    assert_eq!(event.data, json!({"userId": "u1", "userName": "Ann"}));
    assert_eq!(own.content(), "to all", "nobody is told that it is typing itself");
    assert_eq!(elsewhere.content(), "to desk");
    assert_eq!(crate::harness::stored(&server), 2);
}

#[test]
fn heartbeats_are_comments_that_keep_the_place() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[("CHAT_HEARTBEAT", "100ms")]);
    let mut client = replica.listen("userId=u1", None);
    client.block().expect("a welcome");
    let quiet = client.block().expect("a heartbeat");
    assert_eq!((quiet.comment.as_deref(), quiet.id, quiet.event.as_str()), (Some("heartbeat"), None, ""));

    let elsewhere = replica.send_to("other", "not for this client");

    loop {
        let block = client.block().expect("a heartbeat");
        assert_eq!((block.comment.as_deref(), block.event.as_str()), (Some("heartbeat"), ""));
        if let Some(id) = block.id {
            assert_eq!(id, elsewhere, "it need not read the other room again");
            break;
        }
    }
}

#[test]
fn any_number_of_clients_cost_redis_one_blocking_reader() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[]);
    let mut clients: Vec<_> = (0..100).map(|n| replica.listen(&format!("userId=u{n}"), None)).collect();
    assert_eq!(replica.metric("chat_clients"), 100.0);

    let readers = || {
        let list: String = server.command(&["CLIENT", "LIST"]);
        list.lines().filter(|line| line.contains("cmd=xread")).count()
    };
    assert_eq!(readers(), 1);
    replica.send("hello");

    assert!(clients.iter_mut().all(|client| client.content() == "hello"));
    assert_eq!(readers(), 1);
    let connections: String = server.command(&["CLIENT", "LIST"]);
    assert!(connections.lines().count() < 12, "{connections}");
    drop(clients);
    eventually("the clients have left", || replica.metric("chat_clients") == 0.0);
    assert_eq!(replica.metric("chat_streams_ended_total{reason=\"left\"}"), 100.0);
}

#[test]
fn an_entry_that_is_no_message_is_told_and_stops_nobody() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[]);
    let mut client = replica.listen("userId=u1", None);
    let foreign: String = server.command(&["XADD", "chat-messages", "*", "hello", "there"]);

    replica.send("after");

    let gap = client.event().expect("an event");
    assert_eq!((gap.event.as_str(), gap.id.as_deref()), ("gap", Some(foreign.as_str())));
    assert_eq!(gap.data, json!({"from": foreign, "to": foreign, "reason": "unreadable"}));
    assert_eq!(client.content(), "after");
}
