use std::time::Duration;

use streamgate::stream::{
    Consumer, ConsumerGroup, Delays, GroupSettings, LeasedEntry, Leases, Retention, Trimmer,
};
use streamgate::testing::{RedisServer, eventually_async};
use tokio_util::sync::CancellationToken;

use crate::harness::{LEASE, REQUESTS, group_settings, redis, responder_metrics};

const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_secs(3_600);

struct Member {
    group: ConsumerGroup,
    leases: Leases,
    consumer: Consumer,
}

impl Member {
    async fn join(server: &RedisServer, group: &str, name: &str) -> Self {
        let settings = GroupSettings { group: group.to_owned(), ..group_settings(name) };
        let group = ConsumerGroup::new(redis(server), settings, responder_metrics().worker.group);
        let leases = Leases::new(group.clone());
        let mut consumer = Consumer::new(group.clone(), leases.clone());
        consumer.join(&CancellationToken::new()).await;
        Self { group, leases, consumer }
    }

    async fn read(&mut self, count: usize) -> Vec<LeasedEntry> {
        let mut read = Vec::new();
        eventually_async("the entries are read", async || {
            read.extend(self.consumer.read(count, LEASE).await.expect("reads"));
            read.len() == count
        })
        .await;
        read
    }

    async fn take_due(&self) -> Vec<LeasedEntry> {
        let delays = Delays::new(self.group.clone(), self.leases.clone());
        delays.take_due(100).await.expect("takes").0
    }

    async fn delay(&self, entries: Vec<LeasedEntry>, delay: Duration) -> Vec<bool> {
        let delays: Vec<_> = entries.iter().map(|leased| (leased.entry.id, delay)).collect();
        self.group.retry_later(&delays).await.expect("delays")
    }
}

fn append(server: &RedisServer, count: usize) -> Vec<String> {
    (0..count).map(|n| server.command(&["XADD", REQUESTS, "*", "n", &n.to_string()])).collect()
}

fn pending(server: &RedisServer, group: &str) -> u64 {
    let (count, _, _, _): (u64, redis::Value, redis::Value, redis::Value) =
        server.command(&["XPENDING", REQUESTS, group]);
    count
}

#[tokio::test]
async fn a_delayed_entry_is_not_pending_and_comes_back_as_it_was() {
    let server = RedisServer::start();
    let mut member = Member::join(&server, "a", "one").await;
    let mut other = Member::join(&server, "b", "two").await;
    let id = append(&server, 1).remove(0);
    let read = member.read(1).await;
    other.read(1).await;

    assert_eq!(member.delay(read, SOON).await, [true]);

    assert_eq!(pending(&server, "a"), 0, "nobody can claim it");
    let mut due = Vec::new();
    eventually_async("it is due", async || {
        due.extend(member.take_due().await);
        !due.is_empty()
    })
    .await;
    assert_eq!((due[0].entry.id.to_string(), due[0].attempt), (id, 2));
    assert!(due[0].entry.fields.get("n").is_some() && !due[0].lease.is_suspect());
    assert_eq!(pending(&server, "a"), 1, "it has a lease again");
    assert_eq!(server.command::<u64>(&["XLEN", REQUESTS]), 1, "no other group gets a copy");
}

#[tokio::test]
async fn each_delayed_entry_comes_back_to_one_of_its_group() {
    let server = RedisServer::start();
    let mut member = Member::join(&server, "a", "one").await;
    let other = Member::join(&server, "a", "two").await;
    append(&server, 50);
    let read = member.read(50).await;
    member.delay(read, SOON).await;

    let mut ids = Vec::new();
    let mut leases = Vec::new();
    eventually_async("all are due", async || {
        let (first, second) = tokio::join!(member.take_due(), other.take_due());
        for due in first.into_iter().chain(second) {
            ids.push(due.entry.id);
            leases.push(due);
        }
        ids.len() >= 50
    })
    .await;

    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), leases.len()), (50, 50));
}

#[tokio::test]
async fn an_entry_is_not_due_before_its_time_and_not_trimmed() {
    let server = RedisServer::start();
    let mut member = Member::join(&server, "a", "one").await;
    let first = append(&server, 300).remove(0);
    let mut read = member.read(300).await;
    let delayed = read.remove(0);
    let finished: Vec<String> = read.iter().map(|leased| leased.entry.id.to_string()).collect();
    member.delay(vec![delayed], LATER).await;
    for id in &finished {
        server.command::<u64>(&["XACK", REQUESTS, "a", id]);
    }

    let keep_nothing = Retention { entries: 0, age: Duration::ZERO, bytes: 0 };
    let trimmer = Trimmer::new(redis(&server), REQUESTS.parse().expect("a name"), keep_nothing);
    trimmer.trim().await.expect("trims");

    let (due, next) =
        Delays::new(member.group.clone(), member.leases.clone()).take_due(100).await.expect("takes");
    assert!(due.is_empty() && next.is_some_and(|wait| wait <= LATER && wait > LATER / 2), "{next:?}");
    let kept: Vec<(String, redis::Value)> = server.command(&["XRANGE", REQUESTS, &first, &first]);
    assert_eq!(kept.len(), 1, "an entry that waits is unfinished");
}

#[tokio::test]
async fn only_the_holder_of_an_entry_can_delay_it() {
    let server = RedisServer::start();
    let mut member = Member::join(&server, "a", "one").await;
    let id = append(&server, 1).remove(0);
    let read = member.read(1).await;
    server.command::<redis::Value>(&["XCLAIM", REQUESTS, "a", "another", "0", &id]);

    assert_eq!(member.delay(read, SOON).await, [false]);

    assert_eq!(pending(&server, "a"), 1, "the other consumer still has it");
    assert!(member.take_due().await.is_empty());
}

#[tokio::test]
async fn a_delayed_entry_of_a_lost_group_is_not_taken_from_a_reader() {
    let server = RedisServer::start();
    let mut member = Member::join(&server, "a", "one").await;
    append(&server, 1);
    let read = member.read(1).await;
    member.delay(read, SOON).await;
    server.command::<u64>(&["XGROUP", "DESTROY", REQUESTS, "a"]);
    let mut again = Member::join(&server, "a", "two").await;
    let held = again.read(1).await;

    let mut next = Some(Duration::ZERO);
    eventually_async("the delay has ended", async || {
        let delays = Delays::new(member.group.clone(), member.leases.clone());
        let (due, wait) = delays.take_due(100).await.expect("takes");
        assert!(due.is_empty(), "the other consumer works on it");
        next = wait;
        next.is_none()
    })
    .await;

    assert_eq!((held.len(), pending(&server, "a")), (1, 1));
}
