//! Faults of the stored data: streams that vanish, and entries that neither ingress nor a worker wrote.

use std::time::Duration;

use redis::Cmd;
use uuid::Uuid;

use super::{Arena, FORGER};
use crate::history::{Entry, Wish, Writing, WritingKind, now};
use crate::load::PlannedCall;
use crate::setup::{GROUP, REPLIES, REQUESTS, named_lane};
use crate::{POISON_ABORT, POISON_PANIC};

/// How long requests pile up before they are erased.
const BACKLOG: Duration = Duration::from_millis(200);

pub(super) async fn flush(arena: &Arena) -> anyhow::Result<String> {
    erase(arena, &redis::cmd("FLUSHALL")).await?;
    Ok("everything".to_owned())
}

pub(super) async fn delete(arena: &Arena) -> anyhow::Result<String> {
    erase(arena, redis::cmd("DEL").arg(REQUESTS)).await?;
    Ok(REQUESTS.to_owned())
}

/// The workers are held up first: otherwise they are so fast that the erased stream is almost empty.
async fn erase(arena: &Arena, erase: &Cmd) -> anyhow::Result<()> {
    let workers = arena.cluster.workers();
    workers.iter().for_each(|worker| worker.link().hold());
    tokio::time::sleep(BACKLOG).await;
    let erased = arena.cluster.control().run::<()>(erase).await;
    workers.iter().for_each(|worker| worker.link().flow());
    Ok(erased?)
}

/// Callers whose reply was in the lane, or should have gone there, do not get it.
pub(super) async fn lane_of_another_type(
    arena: &Arena,
    target: usize,
    lasts: Duration,
) -> anyhow::Result<String> {
    let lane = if target.is_multiple_of(2) { named_lane() } else { REPLIES.to_owned() };
    let control = arena.cluster.control();
    control.insist(&["SET", &lane, "no stream"]).await?;
    tokio::time::sleep(lasts).await;
    control.insist(&["DEL", &lane]).await?;
    Ok(lane)
}

pub(super) async fn destroy_group(arena: &Arena) -> anyhow::Result<String> {
    arena.cluster.control().run::<()>(redis::cmd("XGROUP").arg("DESTROY").arg(REQUESTS).arg(GROUP)).await?;
    Ok(GROUP.to_owned())
}

/// Entries that cannot be read, name a stream that is none of ours, are huge; and a call whose work
/// panics, and every other time one whose work ends the process.
pub(super) async fn poison(arena: &Arena, target: usize) -> anyhow::Result<String> {
    let lane = named_lane();
    let many: Vec<(String, String)> = (0..3_000).map(|n| (format!("field {n}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    let huge = "x".repeat(1 << 20);
    let id = Uuid::now_v7().to_string();
    for (id, fields) in [
        (None, vec![("colour", "green")]),
        (None, many),
        (None, vec![("id", "none"), ("reply_to", REPLIES), ("body", "{}")]),
        (Some(&id), vec![("reply_to", "somebody:else"), ("body", "{}")]),
        (Some(&id), vec![("reply_to", &lane)]),
        (Some(&id), vec![("reply_to", &lane), ("body", &huge)]),
    ] {
        write(arena, WritingKind::Request, REQUESTS, id.map(String::as_str), &fields).await?;
    }
    let mut calls = vec![POISON_PANIC];
    if target.is_multiple_of(2) {
        calls.push(POISON_ABORT);
    }
    for (n, city) in calls.iter().enumerate() {
        let location = format!("Poisoned quarter {}", now());
        let call = PlannedCall::good(Default::default(), Wish::Poison, (*city).to_owned(), location, n);
        let arena = arena.clone();
        tokio::spawn(async move { arena.caller.call(&arena.cluster, call).await });
    }
    Ok(calls.join(", "))
}

/// Replies that no caller waits for: a second one, one to a request that was never sent, one that is too
/// late; and entries that are no replies.
pub(super) async fn forge(arena: &Arena, target: usize) -> anyhow::Result<String> {
    let (first, last) = arena.recorder.with(|history| {
        let is_reply = |entry: &&Entry| entry.stream.starts_with(REPLIES) && entry.fields.id.is_some();
        let ids = || history.entries.iter().filter(is_reply).filter_map(|entry| entry.fields.id.clone());
        (ids().next(), ids().next_back())
    });
    let forged = Uuid::now_v7().to_string();
    for lane in [REPLIES.to_owned(), named_lane()] {
        for id in [first.as_deref(), last.as_deref(), Some(&forged)].into_iter().flatten() {
            let body = serde_json::json!({ "requestId": id, "forged": true }).to_string();
            let fields = [("status", "200"), ("body", body.as_str()), ("worker", FORGER)];
            write(arena, WritingKind::Reply, &lane, Some(id), &fields).await?;
        }
        for _ in 0..=target % 3 {
            write(arena, WritingKind::Garbage, &lane, None, &[("colour", "green")]).await?;
        }
    }
    Ok("both lanes".to_owned())
}

async fn write(
    arena: &Arena,
    kind: WritingKind,
    stream: &str,
    id: Option<&str>,
    fields: &[(&str, &str)],
) -> anyhow::Result<()> {
    let mut add: Cmd = redis::cmd("XADD");
    add.arg(stream).arg("*");
    if let Some(id) = id {
        add.arg("id").arg(id);
    }
    for (name, value) in fields {
        add.arg(*name).arg(*value);
    }
    let entry: String = arena.cluster.control().run(&add).await?;
    let id = id.map(str::to_owned);
    let writing = Writing { kind, stream: stream.to_owned(), entry, id, at: now() };
    arena.recorder.with(|history| history.writings.push(writing));
    Ok(())
}
