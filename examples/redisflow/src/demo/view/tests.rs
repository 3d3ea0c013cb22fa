use ratatui::Terminal;
use ratatui::backend::TestBackend;
use streamgate::stream::{ConsumerHealth, EntryId, GroupHealth, PendingSummary, StreamInfo};

use super::*;
use crate::message::Event;

fn snapshot() -> Snapshot {
    let consumer = |name: &str, pending| ConsumerHealth {
        name: name.to_owned(),
        pending,
        idle: std::time::Duration::from_millis(1_500),
    };
    let group = GroupHealth {
        name: "g".to_owned(),
        pending: 7,
        lag: Some(30),
        last_delivered: EntryId::MIN,
        oldest_open: None,
        oldest_age: Default::default(),
        oldest_pending_age: Default::default(),
        oldest_unread_age: Default::default(),
        consumers: vec![consumer("consumer-1", 5), consumer("other\u{1b}[31m", 2)],
    };
    let info = StreamInfo {
        length: 99,
        first: None,
        last: None,
        last_generated_id: EntryId::MIN,
        max_deleted_id: EntryId::MIN,
        entries_added: 99,
        groups: 1,
    };
    let producer = "Producer1".parse().expect("a name");
    let event =
        Event::new(&producer, "Hello\u{1b}[2J".to_owned(), "2025-11-03T22:00:00Z".parse().expect("a time"));
    let pending =
        PendingSummary { count: 7, by_consumer: vec![("consumer-1".to_owned(), 5)], ..Default::default() };
    Snapshot {
        name: "s".to_owned(),
        group_name: "g".to_owned(),
        stream: Some(info),
        messages: vec![(EntryId { ms: 5, seq: 1 }, Ok(event))],
        groups: vec![group],
        pending,
        pending_entries: Vec::new(),
        dead_letters: 0,
    }
}

fn scene() -> Scene {
    let mut scene = Scene::new("s", "g");
    let part = |name: &str, is_consumer, state: &str| PartRow {
        name: name.to_owned(),
        is_consumer,
        state: state.to_owned(),
    };
    scene.parts =
        vec![part("consumer-1", true, "runs, process 7"), part("Producer1", false, "ended: signal: 9")];
    scene.take(Ok(snapshot()));
    scene.log("Producer1", r#"2026-11-21T09:58:10.999999Z  INFO sent content="a""#);
    scene
}

/// The lines that the view shows on a terminal of this size.
fn shown(scene: &Scene, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| scene.draw(frame)).expect("drawn");
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(row).collect()
}

#[test]
fn the_view_shows_parts_rates_messages_and_log() {
    let lines = shown(&scene(), 90, 24);

    let has = |parts: &[&str]| lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    for parts in [
        &["RedisFlow: s / g"][..],
        &["in 0.0/s, out 0.0/s, length 99, lag 30, pending 7 (consumer-1 5), dead letters 0"],
        &["1", "consumer-1", "runs, process 7", "5", "1.5 s"],
        &["2", "Producer1", "ended: signal: 9"],
        &["other\u{fffd}[31m", "member of the group", "2", "1.5 s"],
        &["5-1 Producer1: Hello\u{fffd}[2J"],
        &["Producer1: 09:58:10 INFO sent content=\"a\""],
        &["1-2 kill -9, or restart", "q or Ctrl-C stop"],
    ] {
        assert!(has(parts), "{parts:?} in\n{}", lines.join("\n"));
    }
}

#[test]
fn an_outage_and_the_stop_are_said_and_the_last_state_stays() {
    let mut scene = scene();
    scene.take(Err("connection refused".to_owned()));
    scene.stopping = true;

    let lines = shown(&scene, 90, 24).join("\n");

    for text in ["Redis does not answer: connection refused", "stopping; Ctrl-C again", "Hello"] {
        assert!(lines.contains(text), "{text} in\n{lines}");
    }
}

#[test]
fn the_view_fits_on_any_terminal() {
    for (width, height) in [(1, 1), (10, 3), (40, 8), (300, 100)] {
        assert_eq!(shown(&scene(), width, height).len(), usize::from(height));
    }
}
