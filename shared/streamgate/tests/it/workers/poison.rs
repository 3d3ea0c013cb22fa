//! Very large entries, and dead letters that Redis refuses.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamgate::responder::{Handler, Response, Work};
use streamgate::testing::{Link, RedisServer, eventually_async};

use crate::counts::Counts;
use crate::harness::{
    Asker, Echo, GROUP, Gate, REPLIES, REQUESTS, Worker, dead_letters, pending, responder_metrics,
    responder_settings, settled,
};

const ID: &str = "0191f3a0-0000-7000-8000-000000000000";

const MOVED: &str = "moved to the dead letters";

const MEGABYTE: usize = 1 << 20;

/// The log of a test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panics").clone()).expect("text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_warning_of_a_dead_letter_has_the_id_of_its_request() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    crate::logs::keep_lines_of_other_threads();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = RedisServer::start();
    let _: String = server.command(&["XADD", REQUESTS, "*", "id", ID]);
    let _: String = server.command(&["XADD", REQUESTS, "*", "id", "7"]);

    let _worker = Worker::start(&server, "w1", Echo).await;
    settled(&server).await;
    // The line follows the command that the server has executed.
    eventually_async("both are logged", async || log.text().matches(MOVED).count() == 2).await;

    let log = log.text();
    let warnings = log.lines().filter(|line| line.contains(MOVED));
    let (readable, unreadable): (Vec<_>, Vec<_>) = warnings.partition(|line| line.contains(" id="));
    assert_eq!((readable.len(), unreadable.len()), (1, 1), "{log}");
    assert!(readable[0].contains(&format!(" id={ID} ")), "{log}");
}

async fn check_other_requests(asker: &Asker) {
    for n in 0..20 {
        let answer = asker.ask(n.to_string()).await.expect("an answer");
        assert_eq!(answer.reply.body, n.to_string());
    }
}

#[tokio::test]
async fn garbage_of_many_megabytes_delays_no_other_request() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let mut fields = redis::cmd("XADD");
    fields.arg(REQUESTS).arg("*");
    for n in 0..100_000 {
        fields.arg(n).arg("x");
    }
    let _: String = server.run(&fields);
    let mut name = redis::cmd("XADD");
    let _: String = server.run(name.arg(REQUESTS).arg("*").arg(vec![0xff_u8; 8 * MEGABYTE]).arg("x"));
    for _ in 0..5 {
        let mut value = redis::cmd("XADD");
        value.arg(REQUESTS).arg("*").arg("id").arg(vec![b'7'; 4 * MEGABYTE]);
        let _: String = server.run(&value);
    }

    let _worker = Worker::start(&server, "w1", Echo).await;

    check_other_requests(&asker).await;
    settled(&server).await;
    assert_eq!(dead_letters(&server), 7);
}

#[tokio::test]
async fn a_huge_request_is_handled_like_others() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", Echo).await;

    let (huge, ()) = tokio::join!(asker.ask(vec![b'x'; 16 * MEGABYTE]), check_other_requests(&asker));

    assert_eq!(huge.expect("an answer").reply.body.len(), 16 * MEGABYTE);
    settled(&server).await;
}

/// Replies with the size of the request.
#[derive(Clone)]
struct Measures;

impl Handler for Measures {
    async fn handle(&self, work: Work) -> Response {
        Response::new(200, "text/plain", work.request.body.len().to_string())
    }
}

#[tokio::test]
async fn entries_too_large_for_a_slow_link_are_read_one_by_one() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let asker = Asker::start(&server, None).await;
    let all = futures_util::future::join_all((0..6).map(|n| asker.ask(vec![b'x'; 300_000 + n])));

    let (answers, _worker) = tokio::join!(all, async {
        eventually_async("all requests are stored", async || server.command::<u64>(&["XLEN", REQUESTS]) == 6)
            .await;
        // The entries are delivered to the worker's name before it starts. The worker first reads them all at
        // once, which takes twice the response timeout.
        let _: () = server.command(&["XGROUP", "CREATE", REQUESTS, GROUP, "0"]);
        let _: redis::Value = server.command(&["XREADGROUP", "GROUP", GROUP, "w1", "STREAMS", REQUESTS, ">"]);
        link.delay(Duration::from_millis(20));
        Worker::start(&link, "w1", Measures).await
    });

    for (n, answer) in answers.into_iter().enumerate() {
        let reply = answer.expect("an answer").reply;
        assert_eq!((reply.status, reply.body), (200, (300_000 + n).to_string().into()));
    }
    settled(&server).await;
    assert_eq!(dead_letters(&server), 0);
}

/// Waits at the gate and replies with 1 MB.
struct Replies(Gate);

impl Handler for Replies {
    async fn handle(&self, work: Work) -> Response {
        self.0.handle(work).await;
        Response::new(200, "application/octet-stream", vec![b'x'; MEGABYTE])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_too_large_for_one_pipeline_are_sent_in_several() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let _worker = Worker::start(&link, "w1", Replies(gate.clone())).await;

    let all = futures_util::future::join_all((0..30).map(|_| asker.ask("a lot")));
    let (answers, ()) = tokio::join!(all, async {
        gate.wait_for(30).await;
        // 30 MB take more than 2 s, which is longer than the response timeout.
        link.delay(Duration::from_millis(1));
        gate.open();
    });

    for answer in answers {
        assert_eq!(answer.expect("an answer").reply.body.len(), MEGABYTE);
    }
    settled(&server).await;
    let lane: HashMap<String, redis::Value> = server.command(&["XINFO", "STREAM", REPLIES]);
    assert_eq!(lane["entries-added"], redis::Value::Int(30), "none was stored twice");
}

struct Inflates;

impl Handler for Inflates {
    async fn handle(&self, work: Work) -> Response {
        match &work.request.body[..] {
            b"too much" => Response::new(200, "text/plain", vec![b'x'; 65 * MEGABYTE]),
            _ => Echo.handle(work).await,
        }
    }
}

#[tokio::test]
async fn a_reply_that_is_too_large_becomes_a_502() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", Inflates).await;

    let (huge, ()) = tokio::join!(asker.ask("too much"), check_other_requests(&asker));

    assert_eq!(huge.expect("a reply").reply.status, 502);
    settled(&server).await;
}

#[tokio::test]
async fn refused_dead_letters_are_counted_and_tried_again() {
    let server = RedisServer::start();
    let counts = Counts::default();
    let metrics = counts.declare(responder_metrics);
    let _: () = server.command(&["SET", "{requests}:dlq", "not a stream"]);
    for _ in 0..10 {
        let _: String = server.command(&["XADD", REQUESTS, "*", "id", ID, "reply_to", REPLIES]);
    }

    let _worker = Worker::start_counting(&server, responder_settings("w1"), Echo, metrics).await;
    eventually_async("each dead letter was refused more than once", async || {
        counts.of("streamgate_dead_letters_refused_total") >= 20.0
    })
    .await;
    assert_eq!(pending(&server), 10, "none is lost");
    let _: u64 = server.command(&["DEL", "{requests}:dlq"]);

    settled(&server).await;
    assert_eq!(dead_letters(&server), 10);
}

/// Panics before it returns a future.
struct PanicsInTheCall;

impl Handler for PanicsInTheCall {
    fn handle(&self, _: Work) -> impl Future<Output = Response> + Send {
        panic!("on purpose");
        #[expect(unreachable_code, reason = "the type of the future")]
        async {
            Response::json("")
        }
    }
}

#[tokio::test]
async fn a_panic_before_the_future_makes_a_dead_letter() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", PanicsInTheCall).await;

    let answer = asker.ask("boom").await.expect("an answer");

    assert_eq!((answer.reply.status, answer.reply.attempt), (502, 1));
    settled(&server).await;
    assert_eq!(dead_letters(&server), 1);
}
