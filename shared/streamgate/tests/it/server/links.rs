//! Connections that drop, stall, go silent or break in the middle of a response.

use std::time::Duration;

use futures_util::future::join_all;
use streamgate::requester::RequestErrorKind;
use streamgate::resilience::BreakerState;
use streamgate::testing::{Link, RedisServer, eventually_async};
use tokio::time::Instant;

use crate::harness::{Asker, Echo, Worker, settled};
use crate::load::{Scene, heals_after, heals_over};

/// How long a server stalls; every part must survive that.
const STALL: Duration = Duration::from_secs(5);

async fn wait_for_open_circuit(scene: &Scene) {
    let circuit = scene.asker.redis.circuit();
    eventually_async("the circuit opens", async || circuit.state() != BreakerState::Closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_dropped_50_times_heal() {
    heals_after(RedisServer::start(), async |server, scene| {
        for _ in 0..50 {
            eventually_async("there is a connection to drop", async || {
                server.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]) > 0
            })
            .await;
            scene.load.answers(10).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_for_5_s_heals() {
    heals_after(RedisServer::start(), async |server, scene| {
        let stopped = Instant::now();
        server.pause();
        wait_for_open_circuit(scene).await;
        let error = scene.asker.ask("x").await.expect_err("the server is stopped");
        eventually_async("the stall is over", async || stopped.elapsed() > STALL).await;
        server.resume();

        assert_eq!(error.kind, RequestErrorKind::Unavailable);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_pauses_its_clients_heals() {
    join_all(["ALL", "WRITE"].map(|what| {
        heals_after(RedisServer::start(), async move |server, scene| {
            let _: () = server.command(&["CLIENT", "PAUSE", "2500", what]);
            let began = Instant::now();
            let error = scene.asker.ask_within("now?", Duration::from_secs(1)).await;
            eventually_async("the pause is over", async || began.elapsed() > STALL / 2).await;

            assert!(error.is_err(), "nothing is stored meanwhile");
        })
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_queued_for_a_server_without_writes_are_refused() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _: () = server.command(&["CLIENT", "PAUSE", "20000", "WRITE"]);

    // Sent in batches of 32, each batch would wait 1 s for its timeout.
    let calls = join_all((0..1_500).map(|_| asker.ask("x")));
    let answers = tokio::time::timeout(Duration::from_secs(18), calls).await;
    let answers = answers.expect("a caller waited longer for a queue that does not move");
    let _: () = server.command(&["CLIENT", "UNPAUSE"]);

    assert!(answers.iter().all(Result::is_err));
    assert_eq!(asker.requester.pending(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_vanishes_and_comes_back_heals() {
    heals_over(async |link, scene| {
        link.hold();
        wait_for_open_circuit(scene).await;
        link.flow();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_responses_are_lost_heals() {
    heals_over(async |link, scene| {
        link.hold_replies();
        wait_for_open_circuit(scene).await;
        link.flow();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_replaced() {
    heals_over(async |link, scene| {
        // Open connections stay silent for ever; only new connections work.
        link.freeze();
        scene.load.flows().await;
        link.freeze();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_does_not_open_the_circuit() {
    heals_over(async |link, scene| {
        link.delay(Duration::from_millis(150));
        scene.load.flows().await;
        assert_eq!(scene.asker.redis.circuit().state(), BreakerState::Closed);
        link.flow();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_that_break_off_anywhere_heal() {
    join_all([[0, 1], [3, 17], [64, 300], [2_000, 20_000]].map(|lengths| {
        heals_over(async move |link, scene| {
            for bytes in lengths {
                link.cut_replies_after(bytes);
                wait_for_open_circuit(scene).await;
                link.flow();
                scene.load.flows().await;
            }
        })
    }))
    .await;
}

#[tokio::test]
async fn requests_sent_to_a_half_open_connection_are_answered() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&link, "w1", Echo).await;
    asker.ask("warm up").await.expect("an answer");

    // The server delivers entries to the blocked read of the worker, but the worker receives nothing.
    link.freeze();
    let answers = join_all((0..20).map(|n| asker.ask(n.to_string()))).await;

    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.expect("an answer").reply.body, n.to_string());
    }
    settled(&server).await;
}
