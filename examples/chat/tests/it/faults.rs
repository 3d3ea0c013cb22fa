//! Replicas and Redis die; no acknowledged message is lost, and none comes twice.

use std::time::Instant;

use nix::sys::signal::Signal;
use stack::process::PATIENCE;
use streamgate::testing::{RedisServer, eventually};

use crate::harness::{Replica, message, request};

/// Sends a message; its id, if it was acknowledged.
fn try_send(replica: &Replica, content: &str) -> Option<String> {
    let body = message(content);
    let head = format!(
        "POST /api/chat/send HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    let answer = request(replica.address, &head, &body).ok().filter(|answer| answer.status == 200)?;
    answer.json()["messageId"].as_str().map(str::to_owned)
}

#[test]
fn a_killed_replica_costs_its_clients_nothing() {
    let server = RedisServer::start();
    let (mut doomed, other) = (Replica::start(&server, &[]), Replica::start(&server, &[]));
    let mut client = doomed.listen("userId=u1", None);
    let mut acknowledged = Vec::new();
    for n in 0..300 {
        if n == 150 {
            doomed.process.signal(Signal::SIGKILL);
        }
        let replica = if n % 2 == 0 { &doomed } else { &other };
        acknowledged.extend(try_send(replica, &n.to_string()));
    }
    doomed.process.wait(PATIENCE).expect("it is dead");
    assert!((150..300).contains(&acknowledged.len()), "{} acknowledged", acknowledged.len());

    let mut seen = Vec::new();
    while let Some(event) = client.event() {
        seen.push(event.id.expect("an id"));
    }
    assert!(!client.ended, "the connection broke");
    let mut back = other.listen("userId=u1", Some(&client.last_event_id));
    while seen.last() != acknowledged.last() {
        seen.push(back.event().expect("an event").id.expect("an id"));
    }

    // Each once and in order; the message under way at the kill may be there without an answer.
    assert!(seen.len() - acknowledged.len() <= 1, "{} seen", seen.len());
    seen.retain(|id| acknowledged.contains(id));
    assert_eq!(seen, acknowledged);
}

#[test]
fn redis_restarted_under_clients_loses_nothing() {
    let mut server = RedisServer::start_durable();
    let replica = Replica::start(&server, &[]);
    let mut client = replica.listen("userId=u1", None);
    let mut acknowledged: Vec<_> = (0..20).filter_map(|n| try_send(&replica, &n.to_string())).collect();
    assert_eq!(acknowledged.len(), 20);

    server.kill();
    eventually("it is not ready without Redis", || replica.get("/readyz").status == 503);
    assert_eq!(replica.get("/livez").status, 200);
    let away = replica.post("/api/chat/send", &message("while Redis is away"));
    assert_eq!((away.status, away.header("retry-after")), (503, Some("1")), "{away:?}");
    let mut new = replica.listen("userId=u2", None);
    let mut back = replica.listen("userId=u3", Some(&acknowledged[9]));
    server.restart();
    eventually("it is ready again", || replica.get("/readyz").status == 200);
    // What was refused may have been stored.
    let started = Instant::now();
    let after = loop {
        if let Some(id) = try_send(&replica, "after") {
            break id;
        }
        assert!(started.elapsed() < PATIENCE, "nothing can be sent");
    };
    acknowledged.push(after.clone());

    let mut seen = Vec::new();
    while seen.last() != Some(&after) {
        let event = client.event().expect("the stream goes on");
        assert_eq!(event.event, "chat-message", "{event:?}");
        seen.push(event.id.expect("an id"));
    }
    seen.retain(|id| acknowledged.contains(id));
    assert_eq!(seen, acknowledged);
    let next = back.event().expect("an event");
    assert_eq!(next.id.as_ref(), Some(&acknowledged[10]), "who came meanwhile waited for its replay");
    while new.event().expect("the stream goes on").id.as_ref() != Some(&after) {}
}

#[test]
fn a_stop_ends_streams_with_a_reason_and_in_order() {
    let server = RedisServer::start();
    let (mut stopping, other) = (Replica::start(&server, &[]), Replica::start(&server, &[]));
    let mut clients: Vec<_> = (0..20).map(|n| stopping.listen(&format!("userId=u{n}"), None)).collect();
    stopping.send("before");
    assert!(clients.iter_mut().all(|client| client.content() == "before"));

    stopping.process.signal(Signal::SIGTERM);

    for client in &mut clients {
        let bye = client.event().expect("a farewell");
        assert_eq!((bye.event.as_str(), bye.data["reason"].as_str()), ("bye", Some("stopping")));
        assert!(client.event().is_none() && client.ended, "the stream ends in order");
    }
    assert!(stopping.process.wait(PATIENCE).is_some_and(|status| status.success()));
    other.send("after");
    let mut back = other.listen("userId=u1", Some(&clients[0].last_event_id));
    assert_eq!(back.content(), "after");
}

#[test]
fn a_paused_redis_holds_messages_up_and_loses_none() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[]);
    let mut client = replica.listen("userId=u1", None);
    replica.send("1");

    server.pause();
    eventually("the replica has noticed", || replica.get("/readyz").status == 503);
    server.resume();
    eventually("messages are stored again", || try_send(&replica, "2").is_some());

    assert_eq!(client.contents(2), ["1", "2"]);
}
