use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use streamgate::stream::{Retention, Trimmer};
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{Asker, Echo, REPLIES, Worker, redis};

const STREAM: &str = "trimmed";
const GROUPS: [&str; 2] = ["a", "b"];

/// Keeps no finished entry, so that every entry that is left is one that must not be trimmed.
const NOTHING: Retention = Retention { entries: 0, age: Duration::ZERO, bytes: 0 };

#[derive(Debug, Clone)]
enum Step {
    Add(u8),
    Read {
        group: usize,
        count: u8,
    },
    AcknowledgeOneIn {
        group: usize,
        stride: usize,
    },
    /// Sets the group back to the beginning of the stream.
    Replay {
        group: usize,
    },
    Trim,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..30u8).prop_map(Step::Add),
        3 => (0..2usize, 1..30u8).prop_map(|(group, count)| Step::Read { group, count }),
        3 => (0..2usize, 1..4usize).prop_map(|(group, stride)| Step::AcknowledgeOneIn { group, stride }),
        1 => (0..2usize).prop_map(|group| Step::Replay { group }),
        2 => Just(Step::Trim),
    ];
    proptest::collection::vec(step, 1..30)
}

/// The entries that must not be trimmed: per group, those not read and those not acknowledged.
#[derive(Default)]
struct Model {
    unread: [BTreeSet<String>; 2],
    unacknowledged: [BTreeSet<String>; 2],
}

impl Model {
    fn needed(&self) -> BTreeSet<String> {
        self.unread.iter().chain(&self.unacknowledged).flatten().cloned().collect()
    }
}

#[test]
fn trimming_never_removes_an_unread_or_unacknowledged_entry() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let trimmer =
        runtime.block_on(async { Trimmer::new(redis(&server), STREAM.parse().expect("a name"), NOTHING) });

    proptest!(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() }, |(steps in steps())| {
        let _: u64 = server.command(&["DEL", STREAM]);
        for group in GROUPS {
            let _: () = server.command(&["XGROUP", "CREATE", STREAM, group, "0", "MKSTREAM"]);
        }
        let mut model = Model::default();
        for step in steps.into_iter().chain([Step::Trim]) {
            match step {
                Step::Add(count) => {
                    for _ in 0..count {
                        let id: String = server.command(&["XADD", STREAM, "*", "f", "v"]);
                        model.unread.iter_mut().for_each(|unread| { unread.insert(id.clone()); });
                    }
                }
                Step::Read { group, count } => {
                    let read = ["XREADGROUP", "GROUP", GROUPS[group], "c", "COUNT", &count.to_string(), "STREAMS", STREAM, ">"];
                    for id in ids_of(server.command(&read)) {
                        model.unread[group].remove(&id);
                        model.unacknowledged[group].insert(id);
                    }
                }
                Step::AcknowledgeOneIn { group, stride } => {
                    let ids: Vec<String> = model.unacknowledged[group].iter().step_by(stride).cloned().collect();
                    for id in ids {
                        let _: u64 = server.command(&["XACK", STREAM, GROUPS[group], &id]);
                        model.unacknowledged[group].remove(&id);
                    }
                }
                Step::Replay { group } => {
                    let _: () = server.command(&["XGROUP", "SETID", STREAM, GROUPS[group], "0"]);
                    let left: Vec<(String, Vec<String>)> = server.command(&["XRANGE", STREAM, "-", "+"]);
                    model.unread[group] = left.into_iter().map(|(id, _)| id).collect();
                }
                Step::Trim => {
                    runtime.block_on(trimmer.trim()).expect("trims");
                    let left: Vec<(String, Vec<String>)> = server.command(&["XRANGE", STREAM, "-", "+"]);
                    let left: BTreeSet<String> = left.into_iter().map(|(id, _)| id).collect();
                    let needed = model.needed();
                    prop_assert!(needed.is_subset(&left), "lost {:?}", needed.difference(&left).collect::<Vec<_>>());
                }
            }
        }
    });
}

#[tokio::test]
async fn finished_entries_beyond_the_retention_are_trimmed() {
    let server = RedisServer::start();
    let add = || server.command::<String>(&["XADD", STREAM, "*", "f", "v"]);
    let _: () = server.command(&["XGROUP", "CREATE", STREAM, "a", "0", "MKSTREAM"]);
    let ids: Vec<String> = (0..100).map(|_| add()).collect();
    let _: redis::Value = server.command(&["XREADGROUP", "GROUP", "a", "c", "STREAMS", STREAM, ">"]);
    for id in &ids {
        let _: u64 = server.command(&["XACK", STREAM, "a", id]);
    }
    let key = || STREAM.parse().expect("a name");
    let all = Retention { entries: 1_000, age: Duration::from_secs(3_600), bytes: 1 << 30 };

    let kept = Trimmer::new(redis(&server), key(), all).trim().await.expect("trims");
    let cut = Trimmer::new(redis(&server), key(), NOTHING).trim().await.expect("trims");

    assert_eq!(kept.removed, 0);
    assert!(cut.removed >= 90, "{cut:?}");
    assert_eq!(server.command::<u64>(&["XLEN", STREAM]) + cut.removed, 100);
}

#[tokio::test]
async fn the_retention_is_kept_if_entries_come_unevenly() {
    let server = RedisServer::start();
    // 5,000 entries in one millisecond, a long pause, then one entry per second.
    let ids = (1..=5_000)
        .map(|n| format!("1000-{n}"))
        .chain((1..=500).map(|n| format!("{}-0", 9_000_000 + n * 1_000)));
    for id in ids {
        let _: String = server.command(&["XADD", STREAM, &id, "f", "v"]);
    }
    let _: () = server.command(&["XGROUP", "CREATE", STREAM, "a", "$"]);
    let retention = Retention { entries: 4_000, age: Duration::from_secs(1 << 40), bytes: u64::MAX };
    let trimmer = Trimmer::new(redis(&server), STREAM.parse().expect("a name"), retention);

    let trimmed = trimmer.trim().await.expect("trims");

    // Redis removes only whole nodes of 100 entries.
    let left: u64 = server.command(&["XLEN", STREAM]);
    assert!((4_000..4_100).contains(&left), "{left} are left of 5500, {trimmed:?}");
}

#[tokio::test]
async fn several_trimmers_at_once_keep_the_retention() {
    let server = RedisServer::start();
    let mut add = redis::pipe();
    (0..5_000).for_each(|_| {
        add.cmd("XADD").arg(STREAM).arg("*").arg("f").arg("v").ignore();
    });
    let client = redis::Client::open(server.url()).expect("a URL");
    add.query::<()>(&mut client.get_connection().expect("connects")).expect("added");
    let _: () = server.command(&["XGROUP", "CREATE", STREAM, "a", "$"]);
    let retention = Retention { entries: 4_000, age: Duration::from_secs(3_600), bytes: u64::MAX };
    let trimmers: Vec<Trimmer> =
        (0..4).map(|_| Trimmer::new(redis(&server), STREAM.parse().expect("a name"), retention)).collect();

    // Each trimmer has read the state of the stream before the first one trims.
    let trimmed = futures_util::future::join_all(trimmers.iter().map(Trimmer::trim)).await;

    let removed: u64 = trimmed.into_iter().map(|trimmed| trimmed.expect("trims").removed).sum();
    let left: u64 = server.command(&["XLEN", STREAM]);
    assert!((4_000..4_100).contains(&left), "{left} are left of 5000");
    assert_eq!(removed + left, 5_000);
}

#[tokio::test]
async fn without_a_group_nothing_is_trimmed() {
    let server = RedisServer::start();
    let _: String = server.command(&["XADD", STREAM, "*", "f", "v"]);

    let trimmed =
        Trimmer::new(redis(&server), STREAM.parse().expect("a name"), NOTHING).trim().await.expect("trims");

    assert_eq!((trimmed.removed, trimmed.frontier), (0, None));
}

#[tokio::test]
async fn a_group_that_does_not_read_stops_trimming() {
    let server = RedisServer::start();
    for group in GROUPS {
        let _: () = server.command(&["XGROUP", "CREATE", STREAM, group, "0", "MKSTREAM"]);
    }
    let id: String = server.command(&["XADD", STREAM, "*", "f", "v"]);
    let _: redis::Value = server.command(&["XREADGROUP", "GROUP", "a", "c", "STREAMS", STREAM, ">"]);
    let _: u64 = server.command(&["XACK", STREAM, "a", &id]);

    let trimmed =
        Trimmer::new(redis(&server), STREAM.parse().expect("a name"), NOTHING).trim().await.expect("trims");

    assert_eq!(trimmed.removed, 0, "group b has not read it");
}

/// The size of a large reply, in bytes.
const LARGE: usize = 1 << 20;

/// Asks for 40 large replies, one after the other: more than a lane keeps.
async fn ask_for_large_replies(asker: &Asker) {
    for _ in 0..40 {
        let answer = asker.ask(vec![b'x'; LARGE]).await.expect("an answer");
        assert_eq!(answer.reply.body.len(), LARGE);
    }
}

#[tokio::test]
async fn large_replies_that_were_read_are_trimmed_early() {
    let server = RedisServer::start();
    for (replica, lane) in [(None, REPLIES), (Some("a"), "replies.a")] {
        let asker = Asker::start(&server, replica).await;
        let _worker = Worker::start(&server, "w1", Echo).await;

        ask_for_large_replies(&asker).await;

        eventually_async("8 MB and at most 2 more replies are left", async || {
            server.command::<usize>(&["XLEN", lane]) <= (8 << 20) / LARGE + 2
        })
        .await;
    }
}

#[tokio::test]
async fn replies_that_another_gateway_may_read_are_kept() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", Echo).await;
    let id = "0191f3a0-0000-7000-8000-000000000000";
    let foreign: String = server.command(&["XADD", REPLIES, "*", "id", id, "status", "200", "body", "x"]);

    ask_for_large_replies(&asker).await;

    let first: Vec<(String, Vec<String>)> = server.command(&["XRANGE", REPLIES, "-", "+", "COUNT", "1"]);
    assert_eq!(first[0].0, foreign);
    assert_eq!(server.ids_on(REPLIES).len(), 41);
}

/// The ids in the response to XREADGROUP for one stream.
fn ids_of(read: redis::Value) -> Vec<String> {
    type Entries = Vec<(String, Vec<String>)>;
    let streams: Option<Vec<(String, Entries)>> = redis::from_redis_value(read).expect("entries");
    streams.into_iter().flatten().flat_map(|(_, entries)| entries).map(|(id, _)| id).collect()
}
