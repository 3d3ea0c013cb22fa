//! One stream for many subscribers.

use std::time::Duration;

use streamgate::channel::StreamChannel;
use streamgate::fanout::{Broadcast, BroadcastSettings, Event, Subscription};
use streamgate::fields::Fields;
use streamgate::stream::{EntryId, RedisStream};
use streamgate::testing::{Link, PATIENCE, RedisServer, eventually_async};
use tokio_util::sync::CancellationToken;

use super::{add, add_all, add_as, blocked_clients, id};
use crate::harness::{Target, redis};

fn broadcast(target: &impl Target, queue: usize) -> Broadcast<Fields> {
    let stream = RedisStream::new(&redis(target), "s").expect("a name");
    let settings =
        BroadcastSettings { queue, block: Duration::from_millis(300), ..BroadcastSettings::default() };
    Broadcast::start(&stream, settings)
}

async fn next<T: Send + Sync + 'static>(subscription: &mut Subscription<T>) -> Event<T> {
    let event = tokio::time::timeout(PATIENCE, subscription.next()).await;
    event.expect("an event in time").expect("the broadcast goes on")
}

/// The ids of the next `count` events, which must be items.
async fn ids(subscription: &mut Subscription<Fields>, count: usize) -> Vec<EntryId> {
    let mut ids = Vec::new();
    while ids.len() < count {
        match next(subscription).await {
            Event::Item(item) => ids.push(item.id),
            other => panic!("not an item after {ids:?}: {other:?}"),
        }
    }
    ids
}

/// The ids between two ids that the server has.
fn range(server: &RedisServer, from: EntryId, to: EntryId) -> Vec<EntryId> {
    let entries: Vec<(String, redis::Value)> =
        server.command(&["XRANGE", "s", &from.to_string(), &to.to_string()]);
    entries.into_iter().map(|(id, _)| id.parse().expect("an id")).collect()
}

#[tokio::test]
async fn a_thousand_subscribers_share_one_blocking_reader() {
    let server = RedisServer::start();
    let broadcast = broadcast(&server, 1_024);
    let mut subscriptions = Vec::new();
    for _ in 0..1_000 {
        subscriptions.push(broadcast.subscribe(None).await);
    }
    assert_eq!(broadcast.subscribers(), 1_000);
    eventually_async("one client waits", async || blocked_clients(&server) == 1).await;
    let clients: String = server.command(&["CLIENT", "LIST"]);
    assert_eq!(clients.lines().filter(|line| line.contains("cmd=xread")).count(), 1, "{clients}");

    let sent = add_all(&server, "s", 0..50);

    for subscription in &mut subscriptions {
        assert_eq!(ids(subscription, 50).await, sent);
    }
    assert!(broadcast.is_reading());
    drop(subscriptions);
    assert_eq!(broadcast.subscribers(), 0, "they cost nothing");
}

#[tokio::test]
async fn a_position_is_where_another_process_goes_on() {
    let server = RedisServer::start();
    let before = add(&server, "s", 0);
    let (first, second) = (broadcast(&server, 16), broadcast(&server, 16));
    assert_eq!(first.position().await, before, "nothing was read yet");
    let mut reading = first.subscribe(None).await;
    let read = add(&server, "s", 1);
    assert_eq!(ids(&mut reading, 1).await, [read]);

    let position = first.position().await;
    let next = add(&server, "s", 2);

    assert_eq!(position, read);
    assert_eq!(ids(&mut second.subscribe(Some(position)).await, 1).await, [next]);
}

#[tokio::test]
async fn a_slow_subscriber_is_told_exactly_what_it_missed() {
    let server = RedisServer::start();
    let broadcast = broadcast(&server, 16);
    let mut slow = broadcast.subscribe(None).await;
    let mut quick = broadcast.subscribe(None).await;
    let mut sent = vec![add(&server, "s", 0)];
    assert_eq!(ids(&mut slow, 1).await, sent);
    assert_eq!(ids(&mut quick, 1).await, sent);

    for n in 1..=100 {
        sent.push(add(&server, "s", n));
        assert_eq!(ids(&mut quick, 1).await, sent[n..], "the slow one stops nobody");
    }
    let Event::Gap { from, to } = next(&mut slow).await else { panic!("a gap is due") };
    let rest = ids(&mut slow, 16).await;

    assert_eq!(range(&server, from, to), sent[1..85], "the gap has the ids that it did not get");
    assert_eq!(rest, sent[85..], "and it goes on after the gap");
    let last = add(&server, "s", 101);
    assert_eq!(ids(&mut slow, 1).await, [last]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_joins_the_live_tail_without_loss_or_repeat() {
    // With a short queue, subscribers join it while it moves on. With a long one, none may be told of a gap.
    for queue in [64, 4_096] {
        check_replays(queue).await;
    }
}

async fn check_replays(queue: usize) {
    let server = RedisServer::start();
    let mut sent = add_all(&server, "s", 0..1_000);
    let broadcast = broadcast(&server, queue);
    let writer = tokio::task::spawn_blocking({
        let client = redis::Client::open(server.url()).expect("a URL");
        move || {
            let mut connection = client.get_connection().expect("connects");
            let mut append = |n: usize| -> EntryId {
                let id: String = redis::cmd("XADD")
                    .arg("s")
                    .arg("*")
                    .arg("n")
                    .arg(n)
                    .query(&mut connection)
                    .expect("stored");
                id.parse().expect("an id")
            };
            (1_000..4_000).map(&mut append).collect::<Vec<_>>()
        }
    });

    // Each subscriber comes back after another id, while entries are written.
    let readers: Vec<_> = (0..40)
        .map(|n| {
            let (broadcast, after) = (broadcast.clone(), sent[n * 25]);
            let due = 4_000 - n * 25 - 1;
            tokio::spawn(async move {
                let mut subscription = broadcast.subscribe(Some(after)).await;
                let (mut read, mut missed) = (Vec::new(), Vec::new());
                while read.len() + missed.len() < due {
                    match next(&mut subscription).await {
                        Event::Item(item) => read.push(item.id),
                        // A busy machine may make a live subscriber slow. Then the gap must be exact.
                        Event::Gap { from, to } if queue < 4_000 => {
                            missed.extend(vec![(from, to)]);
                            return (read, missed);
                        }
                        other => panic!("{other:?}"),
                    }
                }
                (read, missed)
            })
        })
        .collect();
    sent.extend(writer.await.expect("joins"));

    for (n, reader) in readers.into_iter().enumerate() {
        let (read, missed) = reader.await.expect("joins");
        let expected = &sent[n * 25 + 1..];
        assert!(expected.starts_with(&read), "subscriber {n}: {} of {}", read.len(), expected.len());
        match missed[..] {
            [] => assert_eq!(read.len(), expected.len()),
            [(from, _)] => {
                assert_eq!(range(&server, from, from.max(expected[read.len()]))[0], expected[read.len()])
            }
            _ => unreachable!("it stops at the first gap"),
        }
    }
}

#[tokio::test]
async fn a_subscriber_whose_id_was_trimmed_gets_a_gap() {
    let server = RedisServer::start();
    let broadcast = broadcast(&server, 16);
    for ms in 1..=300 {
        add_as(&server, "s", &format!("{ms}-0"), ms);
    }
    let mut live = broadcast.subscribe(None).await;
    let _: i64 = server.command(&["XTRIM", "s", "MINID", "200-0"]);
    add_as(&server, "s", "301-0", 301);
    ids(&mut live, 1).await;

    let mut back = broadcast.subscribe(Some(id(150))).await;

    let Event::Gap { from, to } = next(&mut back).await else { panic!("a gap is due") };
    assert_eq!((from, to), (id(150).next(), EntryId { ms: 199, seq: u64::MAX }));
    assert_eq!(ids(&mut back, 102).await, (200..=301).map(id).collect::<Vec<_>>());
    let mut all = broadcast.subscribe(Some(EntryId::MIN)).await;
    assert_eq!(ids(&mut all, 102).await.len(), 102, "who asks for all that is there has missed nothing");
}

#[tokio::test]
async fn a_subscriber_of_an_emptied_stream_gets_a_gap() {
    let server = RedisServer::start();
    for ms in 1..=30 {
        add_as(&server, "s", &format!("{ms}-0"), ms);
    }
    let _: i64 = server.command(&["XTRIM", "s", "MAXLEN", "0"]);
    let broadcast = broadcast(&server, 16);

    let mut back = broadcast.subscribe(Some(id(20))).await;

    let Event::Gap { from, to } = next(&mut back).await else { panic!("a gap is due") };
    assert_eq!((from, to), (id(20).next(), id(30)));
    add_as(&server, "s", "31-0", 31);
    assert_eq!(ids(&mut back, 1).await, [id(31)]);
}

#[tokio::test]
async fn an_id_of_another_stream_is_not_waited_for() {
    let server = RedisServer::start();
    let sent = add_all(&server, "s", 0..3);
    let broadcast = broadcast(&server, 16);

    let mut lost = broadcast.subscribe(Some(id(u64::MAX))).await;

    assert!(matches!(next(&mut lost).await, Event::StartedOver));
    assert_eq!(ids(&mut lost, 3).await, sent);
    let live = add(&server, "s", 3);
    assert_eq!(ids(&mut lost, 1).await, [live]);
}

#[tokio::test]
async fn subscribers_survive_restarts_of_redis() {
    let mut server = RedisServer::start_durable();
    let broadcast = broadcast(&server, 1_024);
    let mut live = broadcast.subscribe(None).await;
    let mut sent = add_all(&server, "s", 0..200);
    assert_eq!(ids(&mut live, 200).await, sent);

    for round in 1..=3 {
        server.kill();
        let mut back = broadcast.subscribe(Some(sent[10])).await;
        server.restart();
        let more = add_all(&server, "s", round * 200..round * 200 + 200);

        assert_eq!(ids(&mut live, 200).await, more);
        sent.extend(more);
        assert_eq!(ids(&mut back, sent.len() - 11).await, sent[11..]);
    }
}

#[tokio::test]
async fn a_failover_that_lost_entries_is_said() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let link = Link::to(&old);
    let broadcast = broadcast(&link, 16);
    let mut live = broadcast.subscribe(None).await;
    for ms in 1..=5 {
        add_as(&old, "s", &format!("{ms}-0"), ms);
        if ms <= 3 {
            add_as(&new, "s", &format!("{ms}-0"), ms);
        }
    }
    assert_eq!(ids(&mut live, 5).await, (1..=5).map(id).collect::<Vec<_>>());

    add_as(&new, "s", "4-7", 7);
    link.point_to(&new);
    link.cut();

    assert!(matches!(next(&mut live).await, Event::StartedOver));
    assert_eq!(ids(&mut live, 1).await, [EntryId { ms: 4, seq: 7 }]);
    add_as(&new, "s", "6-0", 6);
    assert_eq!(ids(&mut live, 1).await, [id(6)]);
}

#[tokio::test]
async fn history_trimmed_during_an_outage_is_a_gap_for_all() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let broadcast = broadcast(&link, 16);
    let mut live = broadcast.subscribe(None).await;
    add_as(&server, "s", "1-0", 1);
    assert_eq!(ids(&mut live, 1).await, [id(1)]);

    link.hold();
    link.cut();
    for ms in 2..=10 {
        add_as(&server, "s", &format!("{ms}-0"), ms);
    }
    let _: i64 = server.command(&["XTRIM", "s", "MINID", "8-0"]);
    link.flow();

    let Event::Gap { from, to } = next(&mut live).await else { panic!("a gap is due") };
    assert_eq!((from, to), (id(1).next(), EntryId { ms: 7, seq: u64::MAX }));
    assert_eq!(ids(&mut live, 3).await, [id(8), id(9), id(10)]);
}

#[tokio::test]
async fn an_undecodable_entry_is_an_event_and_not_the_end() {
    let server = RedisServer::start();
    let channel = StreamChannel::<u32>::new(&redis(&server), "s").expect("a name");
    let before: String = server.command(&["XADD", "s", "*", "body", "no number"]);
    let broadcast = Broadcast::start(&channel, BroadcastSettings::default());
    let mut live = broadcast.subscribe(None).await;
    let mut back = broadcast.subscribe(Some(EntryId::MIN)).await;
    let bad: String = server.command(&["XADD", "s", "*", "body", "{}"]);
    let _: String = server.command(&["XADD", "s", "*", "content_type", "application/json", "body", "7"]);

    for (subscription, bad) in [(&mut back, vec![before, bad.clone()]), (&mut live, vec![bad])] {
        for expected in bad {
            let event = next(subscription).await;
            let Event::Undecodable { id, error } = event else { panic!("undecodable is due: {event:?}") };
            assert_eq!(id.to_string(), expected);
            assert!(error.to_string().starts_with("json"), "{error}");
        }
        let event = next(subscription).await;
        assert!(matches!(&event, Event::Item(item) if *item.value == 7), "{event:?}");
    }
}

#[tokio::test]
async fn a_subscription_ends_after_its_queue_on_shutdown() {
    let server = RedisServer::start();
    let stream = RedisStream::new(&redis(&server), "s").expect("a name");
    let shutdown = CancellationToken::new();
    let settings = BroadcastSettings { shutdown: shutdown.clone(), ..BroadcastSettings::default() };
    let broadcast = Broadcast::start(&stream, settings);
    let mut quick = broadcast.subscribe(None).await;
    let mut slow = broadcast.subscribe(None).await;
    let sent = add_all(&server, "s", 0..5);
    assert_eq!(ids(&mut quick, 5).await, sent);

    shutdown.cancel();

    assert_eq!(ids(&mut slow, 5).await, sent);
    assert!(slow.next().await.is_none() && quick.next().await.is_none());
    assert!(broadcast.subscribe(None).await.next().await.is_none(), "it has ended");
    eventually_async("no client waits", async || blocked_clients(&server) == 0).await;
}

#[tokio::test]
async fn the_last_handle_ends_a_broadcast() {
    let server = RedisServer::start();
    let broadcast = broadcast(&server, 16);
    let mut live = broadcast.subscribe(None).await;

    drop(broadcast);

    assert!(live.next().await.is_none());
    eventually_async("no client waits", async || blocked_clients(&server) == 0).await;
}
