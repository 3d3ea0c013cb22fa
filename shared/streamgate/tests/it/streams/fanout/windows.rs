//! Windows over the time of entries, and the latest entry of several streams.

use std::time::Duration;

use streamgate::channel::StreamChannel;
use streamgate::connection::Redis;
use streamgate::fields::Fields;
use streamgate::stream::{EntryId, Item, ReadError, RedisStream, Start};
use streamgate::testing::{PATIENCE, RedisServer};
use streamgate::windows::{
    Aggregate, Count, Fold, Max, Mean, Min, PerKey, Sliding, Stored, Sum, Tumbling, Window, WindowEvent,
    WindowSink, Windows, aggregate, windows, windows_of,
};

use super::{add, add_all, add_as};
use crate::harness::redis;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn stream(redis: &Redis, name: &str) -> RedisStream {
    RedisStream::new(redis, name).expect("a name")
}

fn number(fields: &Fields) -> f64 {
    fields.text("n").and_then(|n| n.parse().ok()).expect("a number")
}

async fn event<T, O>(windows: &mut Windows<T, O>) -> Result<WindowEvent<T, O>, ReadError> {
    tokio::time::timeout(PATIENCE, windows.next()).await.expect("in time").expect("never ends")
}

async fn closed<T: std::fmt::Debug, O: std::fmt::Debug>(windows: &mut Windows<T, O>) -> Window<O> {
    match event(windows).await {
        Ok(WindowEvent::Closed(window)) => window,
        other => panic!("a closed window is due: {other:?}"),
    }
}

/// The next windows with so many items together.
async fn closed_with<T: std::fmt::Debug, O: std::fmt::Debug>(
    windows: &mut Windows<T, O>,
    items: u64,
) -> Vec<Window<O>> {
    let mut found = Vec::new();
    while found.iter().map(|window: &Window<O>| window.count).sum::<u64>() < items {
        found.push(closed(windows).await);
    }
    found
}

/// Adds an entry with the number `n` at the time `n` for each of `times`.
fn add_at(server: &RedisServer, name: &str, times: impl IntoIterator<Item = usize>) {
    for n in times {
        add_as(server, name, &format!("{n}-1"), n);
    }
}

#[tokio::test]
async fn tumbling_windows_compute_every_aggregate() {
    let server = RedisServer::start();
    add_at(&server, "s", [1, 5, 9, 10, 25, 29, 41]);
    let all = (Count, Sum::of(number), Min::of(number), Max::of(number), Mean::of(number));

    let source = stream(&redis(&server), "s");
    let mut windows =
        windows(&source, Tumbling::of(ms(10))).start(Start::Beginning).aggregate(all).expect("valid");
    let found = closed_with(&mut windows, 7).await;

    let found: Vec<_> =
        found.into_iter().map(|window| (window.start_ms, window.end_ms, window.value)).collect();
    assert_eq!(
        found,
        [
            (0, 10, (3, 15.0, Some(1.0), Some(9.0), Some(5.0))),
            (10, 20, (1, 10.0, Some(10.0), Some(10.0), Some(10.0))),
            (20, 30, (2, 54.0, Some(25.0), Some(29.0), Some(27.0))),
            (40, 50, (1, 41.0, Some(41.0), Some(41.0), Some(41.0))),
        ]
    );
}

#[tokio::test]
async fn sliding_windows_a_fold_and_keys_work_together() {
    let server = RedisServer::start();
    add_at(&server, "s", [7, 12, 13]);
    let parity =
        |fields: &Fields| if number(fields) % 2.0 == 0.0 { "even".to_owned() } else { "odd".to_owned() };
    let newest = Fold::new(|| 0, |newest: &mut u64, item: &Item<Fields>| *newest = item.id.ms);

    let source = stream(&redis(&server), "s");
    let sliding = Sliding::of(ms(10)).every(ms(5));
    let mut windows = windows(&source, sliding)
        .start(Start::Beginning)
        .aggregate((newest, PerKey::new(parity, Count)))
        .expect("valid");
    let found = closed_with(&mut windows, 6).await;

    let found: Vec<_> = found
        .into_iter()
        .map(|Window { start_ms, value: (newest, totals), .. }| {
            let of = |key| totals.by_key.get(key).copied().unwrap_or(0);
            (start_ms, newest, of("even"), of("odd"))
        })
        .collect();
    assert_eq!(found, [(0, 7, 0, 1), (5, 13, 1, 2), (10, 13, 1, 1)]);
}

#[tokio::test]
async fn a_window_of_a_quiet_stream_closes_by_the_servers_clock() {
    let server = RedisServer::start();
    let source = stream(&redis(&server), "s");
    let ids = add_all(&server, "s", 0..20);
    let mut windows =
        windows(&source, Tumbling::of(ms(200))).start(Start::Beginning).aggregate(Count).expect("valid");

    // No further entry comes.
    let found = closed_with(&mut windows, 20).await;

    let of = |id: &EntryId| found.iter().filter(|w| w.start_ms <= id.ms && id.ms < w.end_ms).count();
    assert!(ids.iter().all(|id| of(id) == 1), "{found:?}");
    assert!(found.iter().all(|window| window.value == window.count && !window.partial), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_several_sources_with_server_ids_are_never_late() {
    let server = RedisServer::start();
    let redis = redis(&server);
    // One stream is much longer than the others: it is read for longer, but its entries are as old.
    for n in 0..600 {
        add(&server, "a", n);
        if n % 10 == 0 {
            add(&server, "b", n);
        }
    }
    let sources = ["a", "b", "c"].map(|name| stream(&redis, name));
    let mut windows =
        windows_of(sources, Tumbling::of(ms(5))).start(Start::Beginning).aggregate(Count).expect("valid");
    let socket = server.url();
    let writer = tokio::task::spawn_blocking(move || {
        let client = redis::Client::open(socket).expect("a URL");
        let mut connection = client.get_connection().expect("connects");
        for n in 0..1_500 {
            let name = ["a", "b", "c"][n % 3];
            let _: String =
                redis::cmd("XADD").arg(name).arg("*").arg("n").arg(n).query(&mut connection).expect("stored");
        }
    });

    // Late entries would fail here.
    let found = closed_with(&mut windows, 2_160).await;
    writer.await.expect("joins");

    assert_eq!(found.iter().map(|window| window.count).sum::<u64>(), 2_160);
    assert!(found.windows(2).all(|pair| pair[0].end_ms < pair[1].end_ms), "in order, each once");
}

#[tokio::test]
async fn an_own_id_before_a_closed_window_is_given_out_as_late() {
    let server = RedisServer::start();
    let source = stream(&redis(&server), "s");
    add_at(&server, "s", [1, 2]);
    let mut windows =
        windows(&source, Tumbling::of(ms(10))).start(Start::Beginning).aggregate(Count).expect("valid");
    // The stream is quiet, and the server's clock is far after these times.
    assert_eq!(closed(&mut windows).await.value, 2);

    add_at(&server, "s", [3]);

    match event(&mut windows).await {
        Ok(WindowEvent::Late(item)) => assert_eq!((item.id.ms, number(&item.value)), (3, 3.0)),
        other => panic!("a late item is due: {other:?}"),
    }
    add(&server, "s", 4);
    assert_eq!(closed(&mut windows).await.value, 1, "it goes on");
}

#[tokio::test]
async fn lateness_lets_a_slower_source_count() {
    let server = RedisServer::start();
    let redis = redis(&server);
    // Own ids in the far future, so that the server's clock closes nothing.
    let base = 9_000_000_000_000_u64;
    let add = |name: &str, at: u64| add_as(&server, name, &format!("{}-0", base + at), 0);
    let sources = ["a", "b"].map(|name| stream(&redis, name));
    let start = Start::After(EntryId { ms: base - 1, seq: u64::MAX });
    add("a", 0);
    add("b", 0);
    let mut windows = windows_of(sources, Tumbling::of(ms(10)))
        .start(start)
        .lateness(ms(20))
        .aggregate(Count)
        .expect("valid");

    add("a", 25);
    add("b", 5);
    add("a", 30);
    let first = closed(&mut windows).await;
    add("b", 6);
    let late = event(&mut windows).await;

    assert_eq!((first.start_ms, first.value), (base, 3), "`b` was 20 ms behind, which is allowed");
    assert!(matches!(&late, Ok(WindowEvent::Late(item)) if item.id.ms == base + 6), "{late:?}");
}

#[tokio::test]
async fn windows_are_exact_over_a_restart_of_redis() {
    let mut server = RedisServer::start_durable();
    let source = stream(&redis(&server), "s");
    let mut windows =
        windows(&source, Tumbling::of(ms(100))).start(Start::Beginning).aggregate(Count).expect("valid");
    add_all(&server, "s", 0..50);
    let mut count = closed(&mut windows).await.count;

    server.kill();
    server.restart();
    add_all(&server, "s", 50..100);

    while count < 100 {
        count += closed(&mut windows).await.count;
    }
    assert_eq!(count, 100);
}

#[tokio::test]
async fn an_undecodable_entry_is_in_no_window_and_stops_none() {
    let server = RedisServer::start();
    let channel = StreamChannel::<u32>::new(&redis(&server), "s").expect("a name");
    for (id, body) in [("1-0", "5"), ("2-0", "no number"), ("3-0", "6")] {
        let _: String = server.command(&["XADD", "s", id, "content_type", "application/json", "body", body]);
    }
    let sum = Sum::of(|n: &u32| f64::from(*n));
    let mut windows =
        windows(&channel, Tumbling::of(ms(10))).start(Start::Beginning).aggregate(sum).expect("valid");

    let bad = event(&mut windows).await;

    assert!(matches!(&bad, Err(ReadError::Undecodable { id, .. }) if id.ms == 2), "{bad:?}");
    let window = closed(&mut windows).await;
    assert_eq!((window.count, window.value), (2, 11.0));
}

/// Computes windows over `s` and stores them until the window with the time `last` is stored.
async fn run<A: Aggregate<Fields, Output = u64>>(
    redis: Redis,
    sink: WindowSink,
    aggregate: A,
    start: Start,
    last: u64,
) -> Vec<Stored> {
    let mut windows = windows(&stream(&redis, "s"), Sliding::of(ms(20)).every(ms(10)))
        .start(start)
        .aggregate(aggregate)
        .expect("valid");
    let mut stored = Vec::new();
    loop {
        let window = closed(&mut windows).await;
        stored.push(sink.write(&window).await.expect("stored"));
        if window.start_ms >= last {
            return stored;
        }
    }
}

/// The windows on the stream `out`.
async fn results(redis: &Redis, count: usize) -> Vec<(u64, u64)> {
    let mut tail = streamgate::stream::Tail::new(
        &StreamChannel::<Window<u64>>::new(redis, "out").expect("a name"),
        Start::Beginning,
    );
    let mut results = Vec::new();
    for _ in 0..count {
        let item = tail.next().await.expect("never ends").expect("a window");
        assert_eq!(item.id, EntryId { ms: item.value.end_ms, seq: 0 });
        results.push((item.value.start_ms, item.value.value));
    }
    results
}

#[tokio::test]
async fn two_processes_store_each_window_once() {
    let server = RedisServer::start();
    add_at(&server, "s", 0..200);
    let process = || {
        let redis = redis(&server);
        let sink = WindowSink::stream(&redis, "out").expect("a name");
        run(redis, sink, Count, Start::Beginning, 190)
    };

    let (one, other) = tokio::join!(process(), process());

    let windows = 20;
    for stored in [&one, &other] {
        assert_eq!(stored.len(), windows);
        assert!(stored.iter().all(|stored| matches!(stored, Stored::Now | Stored::Before)), "{stored:?}");
    }
    let now = one.iter().chain(&other).filter(|stored| **stored == Stored::Now).count();
    assert_eq!((now, server.command::<usize>(&["XLEN", "out"])), (windows, windows));
    let expected: Vec<_> = (0..20).map(|n| (n * 10, if n == 19 { 10 } else { 20 })).collect();
    assert_eq!(results(&redis(&server), windows).await, expected);
}

#[tokio::test]
async fn a_process_resumes_with_whole_windows() {
    let server = RedisServer::start();
    let redis = redis(&server);
    let sink = WindowSink::stream(&redis, "out").expect("a name");
    let sliding = Sliding::of(ms(20)).every(ms(10));
    add_at(&server, "s", 0..200);
    assert_eq!(sink.resume(sliding, Start::Beginning).await.expect("answers"), Start::Beginning);

    // The first process ends in the middle, and forgets everything.
    run(redis.clone(), sink.clone(), Count, Start::Beginning, 90).await;
    let start = sink.resume(sliding, Start::Beginning).await.expect("answers");
    let stored = run(redis.clone(), sink, Count, start, 190).await;

    assert_eq!(start, Start::After(EntryId { ms: 99, seq: u64::MAX }));
    // The window before the next one overlaps it, but was stored whole by the first process.
    assert_eq!(stored[0], Stored::Partial);
    assert!(stored[1..].iter().all(|stored| *stored == Stored::Now), "{stored:?}");
    let expected: Vec<_> = (0..20).map(|n| (n * 10, if n == 19 { 10 } else { 20 })).collect();
    assert_eq!(results(&redis, 20).await, expected, "as if one process had computed all");
}

#[tokio::test]
async fn a_partial_or_passed_window_is_not_stored() {
    let server = RedisServer::start();
    let redis = redis(&server);
    let sink = WindowSink::stream(&redis, "out").expect("a name");
    let window = |end_ms, partial| Window { start_ms: end_ms - 10, end_ms, count: 1, value: 7_u64, partial };

    assert_eq!(sink.write(&window(20, false)).await.expect("answers"), Stored::Now);
    assert_eq!(sink.write(&window(20, false)).await.expect("answers"), Stored::Before);
    assert_eq!(sink.write(&window(10, false)).await.expect("answers"), Stored::Passed);
    assert_eq!(sink.write(&window(30, true)).await.expect("answers"), Stored::Partial);
    assert_eq!(server.command::<u64>(&["XLEN", "out"]), 1);

    add_at(&server, "s", 0..40);
    let source = stream(&redis, "s");
    let start = Start::After(EntryId { ms: 5, seq: 0 });
    let mut windows = windows(&source, Tumbling::of(ms(20))).start(start).aggregate(Count).expect("valid");
    let (first, second) = (closed(&mut windows).await, closed(&mut windows).await);
    assert_eq!((first.partial, first.count), (true, 15), "reading began within it");
    assert_eq!((second.partial, second.count), (false, 20));
}

#[tokio::test]
async fn a_result_under_a_key_is_written_once_and_expires() {
    let server = RedisServer::start();
    let redis = redis(&server);
    let sink = WindowSink::keys(&redis, "mean", Duration::from_secs(60)).expect("a name");
    let window = |value: f64| Window { start_ms: 0, end_ms: 10, count: 1, value, partial: false };

    assert_eq!(sink.write(&window(1.5)).await.expect("answers"), Stored::Now);
    assert_eq!(sink.write(&window(2.5)).await.expect("answers"), Stored::Before);

    let body: String = server.command(&["GET", "mean:10"]);
    assert_eq!(serde_json::from_str::<Window<f64>>(&body).expect("a window"), window(1.5));
    let ttl: i64 = server.command(&["PTTL", "mean:10"]);
    assert!((1..=60_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn the_latest_entry_of_each_stream_is_kept() {
    let server = RedisServer::start();
    let redis = redis(&server);
    add_all(&server, "a", 0..100);
    add_all(&server, "b", 100..200);
    let mut latest = aggregate(["a", "b", "c"].map(|name| stream(&redis, name))).expect("three streams");

    let (mut updates, mut last) = (Vec::new(), Vec::new());
    for step in 0..4 {
        if step == 2 {
            add(&server, "c", 300);
        } else if step == 3 {
            add(&server, "a", 1_000);
        }
        let (key, item) = latest.next().await.expect("never ends");
        updates.push((key.to_string(), number(&item.expect("an item").value)));
        last = latest.snapshot().iter().map(|(key, item)| (key.to_string(), number(&item.value))).collect();
    }

    let of = |key: &str, n| (key.to_owned(), n);
    assert_eq!(updates, [of("a", 99.0), of("b", 199.0), of("c", 300.0), of("a", 1_000.0)]);
    assert_eq!(last, [of("a", 1_000.0), of("b", 199.0), of("c", 300.0)]);
}
