//! Commands that Redis executed but whose response was lost. They are sent again, and their effect is seen
//! once.

use streamgate::testing::{Link, RedisServer, eventually_async};

use crate::counts::Counts;
use crate::harness::{Asker, Echo, Gate, REQUESTS, Worker, redis, requester_metrics, settled};

const LATE: &str = "streamgate_replies_late_total";

/// True if an id is there more than once.
fn has_duplicates(mut ids: Vec<String>) -> bool {
    let all = ids.len();
    ids.sort();
    ids.dedup();
    ids.len() < all
}

#[tokio::test]
async fn a_request_that_is_stored_twice_is_answered_once() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let counts = Counts::default();
    let metrics = counts.declare(requester_metrics);
    let asker = Asker::start_on(redis(&link), Some("a"), metrics).await;
    let _worker = Worker::start(&server, "w1", Echo).await;

    // If the lost response belongs to a heartbeat, the loop tries again.
    let mut n = 0;
    eventually_async("a request is stored twice", async || {
        n += 1;
        link.cut_next_reply();
        let body = format!("number {n}");
        assert_eq!(asker.ask(body.clone()).await.expect("an answer").reply.body, body);
        has_duplicates(server.ids_on(REQUESTS))
    })
    .await;

    settled(&server).await;
    let (asked, requests) = (f64::from(n), server.ids_on(REQUESTS).len());
    eventually_async("every further reply is counted", async || counts.of(LATE) >= requests as f64 - asked)
        .await;
    assert_eq!(server.ids_on("replies.a").len(), requests, "each entry was handled once");
    assert_eq!(asker.requester.pending(), 0);
}

#[tokio::test]
async fn a_request_whose_caller_left_is_not_sent_again() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let asker = Asker::start_on(redis(&link), Some("a"), requester_metrics()).await;

    link.hold_replies();
    {
        let asking = std::pin::pin!(asker.ask("its caller leaves"));
        let stored = eventually_async("the request is stored", async || server.ids_on(REQUESTS).len() == 1);
        futures_util::future::select(asking, std::pin::pin!(stored)).await;
    }
    link.flow();
    link.cut();

    // The writer sends requests in order: if the next is answered, the first is not sent again any more.
    let _worker = Worker::start(&server, "w1", Echo).await;
    eventually_async("the next one is answered", async || asker.ask("next").await.is_ok()).await;
    let requests = server.ids_on(REQUESTS);
    assert!(!has_duplicates(requests.clone()), "{requests:?}");
}

#[tokio::test]
async fn a_reply_that_is_stored_twice_reaches_its_caller_once() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let counts = Counts::default();
    let metrics = counts.declare(requester_metrics);
    let asker = Asker::start_on(redis(&server), Some("a"), metrics).await;
    let mut n = 0;

    // If the lost response belongs to a heartbeat or a lease renewal, the loop tries again.
    eventually_async("a reply is stored twice", async || {
        n += 1;
        let gate = Gate::default();
        let worker = Worker::start(&link, "w1", gate.clone()).await;
        let body = format!("number {n}");
        let (answer, ()) = tokio::join!(asker.ask(body.clone()), async {
            gate.wait_for(1).await;
            link.cut_next_reply();
            gate.open();
        });
        assert_eq!(answer.expect("an answer").reply.body, body);
        assert_eq!(gate.entered(), 1, "the work was done once");
        worker.stop().await;
        has_duplicates(server.ids_on("replies.a"))
    })
    .await;

    settled(&server).await;
    eventually_async("the second one is counted", async || counts.of(LATE) >= 1.0).await;
}
