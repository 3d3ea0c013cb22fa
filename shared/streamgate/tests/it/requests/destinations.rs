//! One requester for several streams.

use std::time::Duration;

use streamgate::envelope::CorrelationId;
use streamgate::requester::{
    Answer, Call, Destination, DestinationMetrics, DestinationSettings, RequestError, RequestErrorKind,
    WorkerGroup,
};
use streamgate::testing::{RedisServer, eventually_async};

use crate::counts::Counts;
use crate::harness::{Asker, Echo, GROUP, REPLIES, REQUESTS, Target, Worker, responder_settings};

const ORDERS: &str = "orders";

/// The URL of a server with the name and the password of a user.
struct User(String);

impl Target for User {
    fn url(&self) -> String {
        self.0.clone()
    }
}

/// Adds a stream whose workers are watched.
fn add(asker: &Asker, stream: &str, counts: &Counts) -> Destination {
    let workers = WorkerGroup { name: GROUP.to_owned(), grace: Duration::from_secs(60) };
    let settings = DestinationSettings { stream: stream.parse().expect("a name"), workers: Some(workers) };
    let metrics = counts.declare(|| DestinationMetrics::declare(&settings.stream));
    asker.requester.destination(settings, metrics)
}

fn call(to: &Destination) -> Call {
    Call {
        to: to.clone(),
        id: CorrelationId::mint(),
        trace: None,
        content_type: "text/plain".into(),
        body: "x".into(),
        timeout: Duration::from_secs(20),
        http: None,
    }
}

async fn ask(asker: &Asker, to: &Destination) -> Result<Answer, RequestError> {
    asker.requester.request(call(to)).await
}

async fn worker_of(server: &RedisServer, stream: &str) -> Worker {
    let mut settings = responder_settings(stream);
    settings.group.stream = stream.parse().expect("a name");
    Worker::start_with(server, settings, Echo).await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_share_the_lane_and_each_has_its_own_workers() {
    let server = RedisServer::start();
    let (counts, asker) = (Counts::default(), Asker::start(&server, Some("a")).await);
    let _works = worker_of(&server, REQUESTS).await;
    let orders = add(&asker, ORDERS, &counts);
    assert_eq!(add(&asker, ORDERS, &counts), orders, "the same settings are the same destination");
    eventually_async("no worker of orders", async || orders.workers_are_absent()).await;

    let refused = ask(&asker, &orders).await.expect_err("nobody works");
    assert_eq!(refused.kind, RequestErrorKind::NoWorker);
    assert!(asker.ask("x").await.is_ok(), "the other stream has a worker");

    let _too = worker_of(&server, ORDERS).await;
    eventually_async("a worker of orders", async || orders.workers_alive() == Some(1)).await;
    assert!(ask(&asker, &orders).await.is_ok());
    let lanes: Vec<String> = server.command(&["KEYS", &format!("{REPLIES}*")]);
    assert_eq!(lanes.len(), 1, "{lanes:?}");
    assert_eq!((orders.pending(), asker.requester.pending()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_stream_refuses_its_own_requests_only() {
    let server = RedisServer::start();
    let (lane, requests) = (format!("~{REPLIES}*"), format!("~{REQUESTS}"));
    let () = server.command(&["ACL", "SETUSER", "gate", "on", ">s", "+@all", "resetkeys", &lane, &requests]);
    let user = User(format!("{}?user=gate&pass=s", server.url()));
    let (counts, _works) = (Counts::default(), worker_of(&server, REQUESTS).await);
    let asker = Asker::start(&user, None).await;
    assert!(asker.ask("x").await.is_ok());

    let orders = add(&asker, ORDERS, &counts);
    let refused = ask(&asker, &orders).await.expect_err("not permitted");
    assert_eq!(refused.kind, RequestErrorKind::Unavailable);
    assert!(asker.is_ready() && asker.ask("x").await.is_ok(), "the others are served");
    let _too = worker_of(&server, ORDERS).await;
    let () = server.command(&["ACL", "SETUSER", "gate", "~orders"]);

    eventually_async("it is permitted", async || orders.is_permitted()).await;
    assert!(ask(&asker, &orders).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_stream_answers_its_last_callers_and_may_come_back() {
    let server = RedisServer::start();
    let (counts, asker) = (Counts::default(), Asker::start(&server, Some("a")).await);
    let worker = worker_of(&server, ORDERS).await;
    let orders = add(&asker, ORDERS, &counts);
    eventually_async("it is permitted", async || orders.is_permitted()).await;
    worker.stop().await;
    let (requester, last) = (asker.requester.clone(), call(&orders));
    let waits = tokio::spawn(async move { requester.request(last).await });
    eventually_async("it waits", async || orders.pending() == 1).await;

    asker.requester.remove(&orders);
    let _again = worker_of(&server, ORDERS).await;
    assert!(waits.await.expect("joins").is_ok(), "a caller of a removed stream gets its answer");

    eventually_async("it is watched no longer", async || counts.of("streamgate_workers_alive") == 0.0).await;
    let back = add(&asker, ORDERS, &counts);
    assert_ne!(back, orders);
    eventually_async("it is watched again", async || back.workers_alive() == Some(1)).await;
    assert!(ask(&asker, &back).await.is_ok());
    assert!(asker.is_ready(), "the end of a watcher is no defect");
}
