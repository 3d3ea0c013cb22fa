use std::collections::HashSet;
use std::time::Duration;

use streamgate::requester::RequestErrorKind;
use streamgate::responder::{Handler, Response, Work};
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{Asker, Echo, Gate, REPLIES, REQUESTS, Worker, owner_of, server_time_ms, settled};

#[tokio::test]
async fn a_request_comes_back_with_its_own_body() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", Echo).await;

    let answer = asker.ask("hello").await.expect("an answer");

    assert_eq!(&answer.reply.body[..], b"hello");
    assert_eq!((answer.reply.status, &*answer.reply.worker, answer.reply.attempt), (200, "w1", 1));
    settled(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_1000_callers_gets_its_own_reply() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, Some("a")).await;
    let _worker = Worker::start(&server, "w1", Echo).await;

    let answers = (0..1_000).map(|n| {
        let asker = &asker;
        async move { (n, asker.ask(n.to_string()).await) }
    });

    for (n, answer) in futures_util::future::join_all(answers).await {
        assert_eq!(answer.expect("an answer").reply.body, n.to_string());
    }
    assert_eq!(asker.requester.pending(), 0);
    settled(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_many_replicas_and_workers_each_reply_finds_its_caller() {
    let server = RedisServer::start();
    let askers = [
        Asker::start(&server, None).await,
        Asker::start(&server, None).await,
        Asker::start(&server, Some("a")).await,
    ];
    let _workers = [
        Worker::start(&server, "w1", Echo).await,
        Worker::start(&server, "w2", Echo).await,
        Worker::start(&server, "w3", Echo).await,
    ];

    let answers = (0..600).map(|n| {
        let asker = &askers[n % askers.len()];
        async move { (n, asker.ask(n.to_string()).await) }
    });

    for (n, answer) in futures_util::future::join_all(answers).await {
        assert_eq!(answer.expect("an answer").reply.body, n.to_string());
    }
    settled(&server).await;
}

/// Works for this long, and replies with the id of its task.
struct TellsItsTask(Duration);

impl Handler for TellsItsTask {
    async fn handle(&self, _: Work) -> Response {
        let task = tokio::task::try_id().map(|id| id.to_string());
        if !self.0.is_zero() {
            tokio::time::sleep(self.0).await;
        }
        Response::json(task.unwrap_or_default())
    }
}

/// Sends requests one after the other. True if two of them run in the same task.
async fn shares_a_task(work: Duration, requests: usize) -> bool {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", TellsItsTask(work)).await;
    let mut tasks = HashSet::new();
    for _ in 0..requests {
        if !tasks.insert(asker.ask("").await.expect("an answer").reply.body) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn short_work_runs_in_the_task_that_read_it() {
    assert!(shares_a_task(Duration::ZERO, 1_000).await);
}

#[tokio::test]
async fn longer_work_runs_in_its_own_task() {
    assert!(!shares_a_task(Duration::from_millis(1), 20).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_several_threads_all_work_runs_in_its_own_task() {
    assert!(!shares_a_task(Duration::ZERO, 20).await);
}

#[tokio::test]
async fn a_caller_that_times_out_leaves_the_pending_map_empty() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;

    let error = asker.ask_within("no worker", Duration::from_millis(100)).await.expect_err("no worker");

    assert_eq!(error.kind, RequestErrorKind::DeadlinePassed);
    assert_eq!(asker.requester.pending(), 0);
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_the_pending_map_empty() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;

    let call = asker.ask("never mind");
    let hung_up = tokio::time::timeout(Duration::from_millis(50), call).await;

    assert!(hung_up.is_err());
    assert_eq!(asker.requester.pending(), 0);
}

#[tokio::test]
async fn expired_requests_are_acknowledged_without_work() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _ = asker.ask_within("too late", Duration::from_millis(50)).await;
    let gate = Gate::default();
    gate.open();

    let _worker = Worker::start(&server, "w1", gate.clone()).await;
    settled(&server).await;

    assert_eq!(gate.entered(), 0);
    assert_eq!(server.command::<u64>(&["XLEN", REPLIES]), 0);
}

#[tokio::test]
async fn a_stopping_worker_finishes_its_requests() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let worker = Worker::start(&server, "w1", gate.clone()).await;

    let (answer, ()) = tokio::join!(asker.ask("finish me"), async {
        gate.wait_for(1).await;
        let stopping = tokio::spawn(worker.stop());
        gate.open();
        stopping.await.expect("stops");
    });

    assert_eq!(answer.expect("an answer").reply.status, 200);
    settled(&server).await;
}

#[tokio::test]
async fn every_lane_that_a_worker_writes_to_has_a_time_to_live() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, Some("a")).await;
    let _worker = Worker::start(&server, "w1", Echo).await;
    let lane = format!("{REPLIES}.a");
    let lives = || server.command::<i64>(&["TTL", &lane]) > 0;

    asker.ask("first").await.expect("an answer");
    eventually_async("the lane has a time to live", || async { lives() }).await;
    // A new stream may reuse ids: within the same millisecond, the next reply would get the id of the last.
    let first_ms = server_time_ms(&server);
    eventually_async("the millisecond is over", async || server_time_ms(&server) > first_ms).await;
    // Deleted as if it had expired. The next reply creates it again, at first without a time to live.
    let _: u64 = server.command(&["DEL", &lane]);
    asker.ask("second").await.expect("an answer");

    eventually_async("the new lane has a time to live, too", || async { lives() }).await;
}

#[tokio::test]
async fn garbage_becomes_dead_letters_with_a_reason() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let id = "0191f3a0-0000-7000-8000-000000000000";
    let garbage: [(&[&str], &str); 4] = [
        (&["nonsense", "\u{1}"], "undecodable: field `id` is missing"),
        (&["id", "7", "reply_to", REPLIES, "body", "x"], "undecodable: field `id` is invalid"),
        (
            &["id", id, "reply_to", "somebody-elses-key", "body", "x"],
            "reply_to is not replies or one of its lanes",
        ),
        (&["id", id, "reply_to", REPLIES], "undecodable: field `body` is missing"),
    ];
    for (fields, _) in garbage {
        let _: String = server.command(&[&["XADD", REQUESTS, "*"], fields].concat());
    }

    let _worker = Worker::start(&server, "w1", Echo).await;

    assert_eq!(asker.ask("still here").await.expect("an answer").reply.status, 200);
    settled(&server).await;
    let letters: Vec<(String, Vec<String>)> = server.command(&["XRANGE", "{requests}:dlq", "-", "+"]);
    for (_, reason) in garbage {
        assert!(letters.iter().any(|(_, fields)| fields[1].starts_with(reason)), "{reason} in {letters:?}");
    }
    assert_eq!(letters.len(), garbage.len());
    let keys: Vec<String> = server.command(&["KEYS", "somebody*"]);
    assert!(keys.is_empty(), "no text from an entry becomes a key");
}

#[tokio::test]
async fn an_entry_with_thousands_of_fields_is_a_dead_letter() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let mut huge = redis::cmd("XADD");
    huge.arg(REQUESTS).arg("*");
    for n in 0..20_000 {
        huge.arg(format!("field-{n}")).arg("x");
    }
    let _: String = server.run(&huge);

    let _worker = Worker::start(&server, "w1", Echo).await;

    assert_eq!(asker.ask("still here").await.expect("an answer").reply.status, 200);
    settled(&server).await;
    let letters: Vec<(String, Vec<String>)> = server.command(&["XRANGE", "{requests}:dlq", "-", "+"]);
    let fields = &letters[0].1;
    assert_eq!(fields.len(), 2 * (5 + 1 + 1_000));
    assert_eq!(fields[10..12], ["dlq_fields_left_out", "19000"]);
}

#[tokio::test]
async fn dead_letters_that_are_refused_delay_no_other_request() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _: () = server.command(&["SET", "{requests}:dlq", "not a stream"]);
    let garbage: String = server.command(&["XADD", REQUESTS, "*", "x", "y"]);

    let _worker = Worker::start(&server, "w1", Echo).await;
    for n in 0..50 {
        assert_eq!(asker.ask(n.to_string()).await.expect("an answer").reply.status, 200);
    }
    assert_eq!(owner_of(&server, &garbage), "w1", "the entry is not lost");
    let _: u64 = server.command(&["DEL", "{requests}:dlq"]);

    eventually_async("the dead letter is stored", async || {
        server.command::<u64>(&["XLEN", "{requests}:dlq"]) == 1
    })
    .await;
}

struct Nonsense;

impl Handler for Nonsense {
    async fn handle(&self, work: Work) -> Response {
        match &work.request.body[..] {
            b"status" => Response { status: 99, ..Response::json("{}") },
            _ => Response { content_type: "text/plain\r\nx: y".into(), ..Response::json("{}") },
        }
    }
}

#[tokio::test]
async fn a_reply_that_http_cannot_send_becomes_a_502() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", Nonsense).await;

    for body in ["status", "type"] {
        assert_eq!(asker.ask(body).await.expect("an answer").reply.status, 502, "{body}");
    }
}
