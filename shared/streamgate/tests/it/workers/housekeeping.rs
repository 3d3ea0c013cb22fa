//! The housekeeping of a worker: trimming its stream and removing dead consumers.

use std::time::Duration;

use streamgate::responder::ResponderSettings;
use streamgate::stream::{HousekeepingSettings, Retention, Trimmer};
use streamgate::testing::{RedisServer, eventually_async};

use crate::counts::Counts;
use crate::harness::{
    Asker, Echo, GROUP, REPLIES, REQUESTS, Worker, redis, responder_metrics, responder_settings,
};

const FEW: Retention = Retention { entries: 10, age: Duration::from_secs(3_600), bytes: u64::MAX };

fn keeping(retention: Retention) -> ResponderSettings {
    let housekeeping = Some(HousekeepingSettings { retention, period: Duration::from_millis(100) });
    ResponderSettings { housekeeping, ..responder_settings("w") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_trims_finished_requests() {
    let server = RedisServer::start();
    let counts = Counts::default();
    let metrics = counts.declare(responder_metrics);
    let asker = Asker::start(&server, Some("a")).await;
    let worker = Worker::start_counting(&server, keeping(FEW), Echo, metrics).await;

    let answers = futures_util::future::join_all((0..1_000).map(|_| asker.ask("x"))).await;

    assert!(answers.iter().all(Result::is_ok));
    // Redis removes only whole nodes of 100 entries.
    eventually_async("the stream is trimmed", async || server.ids_on(REQUESTS).len() <= 110).await;
    assert!(counts.of("streamgate_trimmed_entries_total") >= 890.0);
    worker.stop().await;
}

#[tokio::test]
async fn housekeeping_is_on_by_default() {
    let name = |text: &str| text.parse().expect("a name");

    let settings = ResponderSettings::new(name(REQUESTS), name(REPLIES), GROUP, "w");

    let housekeeping = settings.housekeeping.expect("on by default");
    assert_eq!((housekeeping.retention.entries, housekeeping.retention.bytes), (100_000, 268_435_456));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_removes_dead_consumers() {
    let server = RedisServer::start();
    let settings = keeping(FEW);
    let grace = Duration::from_millis(100);
    let group = streamgate::stream::GroupSettings { grace, ..settings.group.clone() };
    let () = server.command(&["XGROUP", "CREATE", REQUESTS, GROUP, "0", "MKSTREAM"]);
    let _: u64 = server.command(&["XGROUP", "CREATECONSUMER", REQUESTS, GROUP, "dead"]);

    let worker = Worker::start_with(&server, ResponderSettings { group, ..settings }, Echo).await;

    let dead = async || {
        let consumers: Vec<redis::Value> = server.command(&["XINFO", "CONSUMERS", REQUESTS, GROUP]);
        consumers.len() == 1
    };
    eventually_async("the dead one is removed", dead).await;
    worker.stop().await;
}

#[tokio::test]
async fn nodes_that_are_too_large_to_trim_are_reported() {
    for (node, too_large) in [("100", false), ("0", true)] {
        let options = ["--stream-node-max-entries", node, "--stream-node-max-bytes", "0"];
        let server = RedisServer::start_with(&options);
        let mut add = redis::pipe();
        for _ in 0..3_000 {
            add.cmd("XADD").arg(REQUESTS).arg("*").arg("body").arg("x").ignore();
        }
        let mut connection =
            redis::Client::open(server.url()).expect("opens").get_connection().expect("connects");
        let () = add.query(&mut connection).expect("adds");
        let () = server.command(&["XGROUP", "CREATE", REQUESTS, GROUP, "$"]);

        let trimmer = Trimmer::new(redis(&server), REQUESTS.parse().expect("a name"), FEW);
        let trimmed = trimmer.trim().await.expect("trims");

        assert_eq!(trimmed.nodes_are_too_large(), too_large, "{trimmed:?}");
    }
}
