//! Replies that no caller waits for: duplicate, late or forged.

use std::time::{Duration, Instant};

use streamgate::envelope::CorrelationId;
use streamgate::requester::RequestErrorKind;
use streamgate::testing::{Link, RedisServer, eventually_async};

use crate::counts::Counts;
use crate::harness::{
    Asker, Echo, Gate, REPLIES, REQUESTS, Target, Worker, redis, requester_metrics, settled,
};
use crate::logs::Logs;

const LANE: &str = "replies.a";
const LATE: &str = "streamgate_replies_late_total";
const FOREIGN: &str = "streamgate_replies_foreign_total";
const UNDECODABLE: &str = "streamgate_replies_undecodable_total";

async fn counting(server: &RedisServer, replica: Option<&str>) -> (Asker, Counts) {
    let counts = Counts::default();
    let metrics = counts.declare(requester_metrics);
    (Asker::start_on(redis(server), replica, metrics).await, counts)
}

fn reply(server: &RedisServer, lane: &str, id: &str, body: &str) {
    let _: String = server.command(&["XADD", lane, "*", "id", id, "status", "200", "body", body]);
}

/// The id of the only request on the stream.
async fn id_of_the_request(server: &RedisServer) -> String {
    let mut id = None;
    eventually_async("the request is stored", async || {
        let entries: Vec<(String, Vec<String>)> = server.command(&["XRANGE", REQUESTS, "-", "+"]);
        id = entries.first().map(|(_, fields)| fields[1].clone());
        id.is_some()
    })
    .await;
    id.expect("stored")
}

async fn counted(counts: &Counts, name: &str, times: f64) {
    eventually_async("the reply is counted", async || counts.of(name) >= times).await;
    assert!(counts.of(name) <= times, "{name}: {}", counts.of(name));
}

/// The log text of a gateway that gets replies to requests which it has not stored.
const SHARED: &str = "another gateway seems to run with the same INGRESS_REPLICA";

/// The longest timeout of a request. For this time after its start, a gateway may get replies to requests
/// of the process before it.
const QUIET: Duration = Duration::from_millis(200);

/// A gateway with a replica name that has run longer than [`QUIET`], so that it logs foreign replies.
async fn start_and_wait_for_quiet_time(target: &impl Target) -> (Asker, Counts) {
    let counts = Counts::default();
    let metrics = counts.declare(requester_metrics);
    let asker = Asker::start_with_settings(redis(target), metrics, |settings, _| {
        settings.replica = Some("a".to_owned());
        settings.longest_timeout = QUIET;
    })
    .await;
    let started = Instant::now();
    eventually_async("the quiet time is over", async || started.elapsed() > QUIET).await;
    (asker, counts)
}

#[tokio::test]
async fn two_gateways_with_one_replica_name_are_logged_once() {
    let server = RedisServer::start();
    let logs = Logs::capture();
    let ((one, _), (_two, counts)) =
        (start_and_wait_for_quiet_time(&server).await, start_and_wait_for_quiet_time(&server).await);
    let _worker = Worker::start(&server, "w1", Echo).await;

    eventually_async("the other gateway gets 50 foreign replies", async || {
        let _ = one.ask("x").await;
        counts.of(LATE) >= 50.0
    })
    .await;

    assert_eq!(logs.with(SHARED).len(), 1, "{:#?}", logs.shown());
}

#[tokio::test]
async fn a_lane_that_is_read_again_logs_no_second_gateway() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let link = Link::to(&old);
    let logs = Logs::capture();
    let (asker, counts) = start_and_wait_for_quiet_time(&link).await;
    let worker = Worker::start(&link, "w1", Echo).await;
    for _ in 0..50 {
        asker.ask("x").await.expect("answered");
    }
    worker.stop().await;

    // The new server has the same lane, and the reader starts from its beginning.
    new.follow(&old);
    new.lead();
    link.point_to(&new);
    link.cut();
    eventually_async("all replies are read again", async || counts.of(LATE) >= 50.0).await;

    assert!(logs.with(SHARED).is_empty(), "{:#?}", logs.shown());
}

#[tokio::test]
async fn the_first_of_two_replies_is_used_the_second_is_counted() {
    let server = RedisServer::start();
    let (asker, counts) = counting(&server, Some("a")).await;

    let (answer, ()) = tokio::join!(asker.ask("?"), async {
        let id = id_of_the_request(&server).await;
        reply(&server, LANE, &id, "first");
        reply(&server, LANE, &id, "second");
    });

    assert_eq!(answer.expect("an answer").reply.body, "first");
    counted(&counts, LATE, 1.0).await;
    assert_eq!(asker.requester.pending(), 0);
}

#[tokio::test]
async fn a_late_reply_is_counted_and_reaches_no_caller() {
    let server = RedisServer::start();
    let (asker, counts) = counting(&server, Some("a")).await;
    let gate = Gate::default();
    let _worker = Worker::start(&server, "w1", gate.clone()).await;

    let error = asker.ask_within("slow", Duration::from_millis(300)).await.expect_err("too slow");
    let id = id_of_the_request(&server).await;
    reply(&server, LANE, &id, "at last");

    counted(&counts, LATE, 1.0).await;
    gate.open();
    assert_eq!(error.kind, RequestErrorKind::DeadlinePassed);
    assert_eq!(asker.ask("next").await.expect("an answer").reply.body, "next");
    settled(&server).await;
}

#[tokio::test]
async fn a_reply_to_an_unknown_id_reaches_no_caller() {
    for (replica, lane, name) in [(Some("a"), LANE, LATE), (None, REPLIES, FOREIGN)] {
        let server = RedisServer::start();
        let (asker, counts) = counting(&server, replica).await;
        let _worker = Worker::start(&server, "w1", Echo).await;

        for _ in 0..100 {
            reply(&server, lane, &CorrelationId::mint().to_string(), "forged");
        }

        assert_eq!(asker.ask("mine").await.expect("an answer").reply.body, "mine");
        counted(&counts, name, 100.0).await;
    }
}

#[tokio::test]
async fn an_undecodable_reply_is_counted_and_harms_no_caller() {
    let server = RedisServer::start();
    let (asker, counts) = counting(&server, Some("a")).await;
    let _worker = Worker::start(&server, "w1", Echo).await;
    let id = CorrelationId::mint().to_string();
    let nonsense: [&[&str]; 6] = [
        &["x", "y"],
        &["id", "7", "status", "200", "body", ""],
        &["id", &id, "body", ""],
        &["id", &id, "status", "99", "body", ""],
        &["id", &id, "status", "two hundred", "body", ""],
        &["id", &id, "status", "200", "content_type", "text/plain\r\nset-cookie: x=y", "body", ""],
    ];

    for fields in nonsense {
        let _: String = server.command(&[&["XADD", LANE, "*"], fields].concat());
    }

    assert_eq!(asker.ask("mine").await.expect("an answer").reply.body, "mine");
    counted(&counts, UNDECODABLE, nonsense.len() as f64).await;
}

#[tokio::test]
async fn an_undecodable_reply_does_not_end_the_wait_of_its_caller() {
    let server = RedisServer::start();
    let (asker, counts) = counting(&server, Some("a")).await;

    let (answer, ()) = tokio::join!(asker.ask("?"), async {
        let id = id_of_the_request(&server).await;
        let _: String = server.command(&["XADD", LANE, "*", "id", &id, "status", "1000", "body", "forged"]);
        counted(&counts, UNDECODABLE, 1.0).await;
        assert_eq!(asker.requester.pending(), 1);
        Worker::start(&server, "w1", Echo).await.forget();
    });

    assert_eq!(answer.expect("an answer").reply.body, "?");
}

#[tokio::test]
async fn a_reply_on_the_lane_of_another_replica_reaches_no_caller() {
    let server = RedisServer::start();
    let (asker, _) = counting(&server, Some("a")).await;
    let (_other, counts) = counting(&server, Some("b")).await;

    let (answer, ()) = tokio::join!(asker.ask("?"), async {
        let id = id_of_the_request(&server).await;
        reply(&server, "replies.b", &id, "on the wrong lane");
        counted(&counts, LATE, 1.0).await;
        assert_eq!(asker.requester.pending(), 1, "its caller still waits");
        Worker::start(&server, "w1", Echo).await.forget();
    });

    assert_eq!(answer.expect("an answer").reply.body, "?");
}

#[tokio::test]
async fn replies_that_share_an_entry_with_a_bad_one_are_delivered() {
    let server = RedisServer::start();
    let (asker, counts) = counting(&server, None).await;

    let (first, second, ()) = tokio::join!(asker.ask("1"), asker.ask("2"), async {
        let mut ids = Vec::new();
        eventually_async("both requests are stored", async || {
            let entries: Vec<(String, Vec<String>)> = server.command(&["XRANGE", REQUESTS, "-", "+"]);
            ids = entries.into_iter().map(|(_, fields)| (fields[1].clone(), fields[9].clone())).collect();
            ids.len() == 2
        })
        .await;
        let foreign = CorrelationId::mint().to_string();
        let replies =
            [(ids[0].0.as_str(), &*ids[0].1), (&foreign, "0"), ("no uuid", "0"), (&ids[1].0, &ids[1].1)];
        let mut xadd = vec!["XADD", REPLIES, "*"];
        for (id, body) in replies {
            xadd.extend(["id", id, "status", "200", "body", body, "worker", "w1"]);
        }
        xadd.truncate(xadd.len() - 2);
        let _: String = server.command(&xadd);
    });

    for (answer, body) in [(first, "1"), (second, "2")] {
        let reply = answer.expect("an answer").reply;
        assert_eq!((&reply.body[..], &*reply.worker), (body.as_bytes(), "w1"));
    }
    counted(&counts, FOREIGN, 1.0).await;
    counted(&counts, UNDECODABLE, 1.0).await;
}

#[tokio::test]
async fn replies_finished_together_share_an_entry_on_each_lane() {
    const CALLERS: usize = 12;
    let server = RedisServer::start();
    let askers = [Asker::start(&server, Some("a")).await, Asker::start(&server, Some("b")).await];
    let gate = Gate::default();
    let _worker = Worker::start(&server, "w1", gate.clone()).await;
    let calls = (0..CALLERS).flat_map(|n| askers.iter().map(move |asker| (asker, n.to_string())));
    let calls = calls.map(async |(asker, body)| {
        let answer = asker.ask(body.clone()).await.expect("an answer");
        assert_eq!(answer.reply.body, body);
    });

    tokio::join!(futures_util::future::join_all(calls), async {
        gate.wait_for(2 * CALLERS).await;
        gate.open();
    });

    for lane in ["replies.a", "replies.b"] {
        assert_eq!(server.ids_on(lane).len(), CALLERS, "{lane}");
        assert!(server.command::<usize>(&["XLEN", lane]) < CALLERS / 2, "{lane}");
    }
    settled(&server).await;
}
