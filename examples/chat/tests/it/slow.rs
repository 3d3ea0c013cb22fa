//! Slow clients are bounded: they are dropped with a reason, and the others do not notice.

use streamgate::testing::{RedisServer, eventually};

use crate::harness::{Replica, Sse};

/// As large as a message may be.
fn large(n: usize) -> String {
    format!("{n:0>16384}")
}

const SLOW: &str = "chat_streams_ended_total{reason=\"slow\"}";
const STALLED: &str = "chat_streams_ended_total{reason=\"stalled\"}";

#[test]
fn a_slow_client_is_dropped_with_a_reason_and_loses_nothing() {
    const COUNT: usize = 800;
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[("CHAT_QUEUE", "32")]);
    let mut quick = replica.listen("userId=u1", None);
    let mut slow = Sse::narrow(replica.address, "userId=u2");

    for n in 0..COUNT {
        replica.send(&large(n));
        assert_eq!(quick.content(), large(n), "the others are unharmed");
    }
    let mut read = 0;
    let gap = loop {
        let event = slow.event().expect("the stream tells why it ends");
        match event.event.as_str() {
            "chat-message" => assert_eq!(event.data["content"], large(read)),
            _ => break event,
        }
        read += 1;
    };

    assert_eq!((gap.event.as_str(), gap.data["reason"].as_str()), ("gap", Some("slow")));
    assert!((1..COUNT - 32).contains(&read), "{read} messages fit into buffers");
    let bye = slow.event().expect("a farewell");
    assert_eq!((bye.event.as_str(), bye.data["reason"].as_str()), ("bye", Some("slow")));
    assert!(slow.event().is_none() && slow.ended, "the stream ends in order");
    eventually("it is counted", || replica.metric(SLOW) == 1.0);
    assert!(replica.process.log().contains("a client was dropped"), "{}", replica.process.log());
    let mut back = replica.listen("userId=u2", Some(&slow.last_event_id));
    for n in read..COUNT {
        assert_eq!(back.content(), large(n), "it gets the rest when it comes back");
    }
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[("CHAT_WRITE_TIMEOUT", "300ms")]);
    let mut quick = replica.listen("userId=u1", None);
    let _stalled = Sse::narrow(replica.address, "userId=u2");

    let mut sent = 0;
    eventually("the client is cut off", || {
        replica.send(&large(sent));
        assert_eq!(quick.content(), large(sent));
        sent += 1;
        replica.metric(STALLED) == 1.0
    });

    assert_eq!(replica.metric("chat_clients"), 1.0);
    replica.send("after");
    assert_eq!(quick.content(), "after");
}
