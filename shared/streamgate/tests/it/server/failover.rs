//! A replica takes the place of the primary.

use std::time::Duration;

use streamgate::requester::RequestErrorKind;
use streamgate::testing::{Link, RedisServer, eventually_async};

use crate::harness::{Asker, Echo, Gate, REQUESTS, Worker, settled};
use crate::load::Scene;

/// A primary, its replica, and the link over which clients reach the primary.
fn pair() -> (RedisServer, RedisServer, Link) {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    new.follow(&old);
    let link = Link::to(&old);
    (old, new, link)
}

fn has_seen(server: &RedisServer, error: &str) -> bool {
    server.command::<String>(&["INFO", "errorstats"]).contains(&format!("errorstat_{error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_under_load_heals_without_closed_connections() {
    let (old, new, link) = pair();
    let scene = Scene::start(&link).await;

    // The connections to the old primary stay open; its clients must detect the failover themselves.
    new.lead();
    link.point_to(&new);
    old.follow(&new);

    scene.load.flows().await;
    assert!(has_seen(&old, "READONLY"), "no client wrote to the demoted node");
    scene.heals(&new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_primary_is_found_after_the_old_one_died() {
    let (mut old, new, link) = pair();
    let scene = Scene::start(&link).await;

    old.kill();
    new.lead();
    link.point_to(&new);

    scene.heals(&new).await;
}

#[tokio::test]
async fn a_gateway_without_a_primary_refuses_until_it_finds_one() {
    let (old, new, link) = pair();
    let asker = Asker::start(&link, None).await;
    let _worker = Worker::start(&link, "w1", Echo).await;

    // No request is sent. A plain XREAD would go on without an error on the demoted node.
    new.lead();
    old.follow(&new);
    eventually_async("the gateway notices by itself", async || !asker.is_ready()).await;
    let error = asker.ask("to a replica").await.expect_err("refused");
    link.point_to(&new);

    eventually_async("the primary is found", async || asker.ask("to the primary").await.is_ok()).await;
    assert!(matches!(error.kind, RequestErrorKind::Unavailable | RequestErrorKind::DeadlinePassed));
    settled(&new).await;
}

#[tokio::test]
async fn a_running_request_is_answered_over_the_new_primary() {
    let (old, new, link) = pair();
    let asker = Asker::start(&link, None).await;
    let gate = Gate::default();
    let _worker = Worker::start(&link, "w1", gate.clone()).await;

    let (answer, ()) = tokio::join!(asker.ask("in the middle"), async {
        gate.wait_for(1).await;
        new.lead();
        link.point_to(&new);
        old.follow(&new);
        gate.open();
    });

    assert_eq!(answer.expect("an answer").reply.body, "in the middle");
    eventually_async("the next one is answered, too", async || asker.ask("next").await.is_ok()).await;
    settled(&new).await;
}

#[tokio::test]
async fn the_caller_of_an_unreplicated_request_gets_an_error() {
    let (old, new, link) = pair();
    let asker = Asker::start(&link, None).await;

    // From here on, the new primary gets no data from the old one.
    new.lead();
    let (lost, ()) = tokio::join!(asker.ask_within("lost", Duration::from_secs(2)), async {
        eventually_async("the request is stored", async || old.command::<u64>(&["XLEN", REQUESTS]) == 1)
            .await;
        link.point_to(&new);
        old.follow(&new);
    });
    let _worker = Worker::start(&link, "w1", Echo).await;
    eventually_async("others are answered", async || asker.ask("found").await.is_ok()).await;

    assert_eq!(lost.expect_err("no server has the request").kind, RequestErrorKind::DeadlinePassed);
    assert_eq!(asker.requester.pending(), 0);
    settled(&new).await;
}
