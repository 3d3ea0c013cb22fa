//! `events inspect`: streams, groups, outbox and readers, as text or JSON.

use anyhow::Context;
use serde_json::{Value, json};
use streamgate::connection::{ConnectionMetrics, Redis};
use streamgate::stream::{RedisStream, Thresholds};
use streamgate::telemetry::Readiness;

use crate::config::{InspectSettings, Output};
use crate::model::STREAMS;
use crate::store;

/// Prints what there is.
///
/// # Errors
/// The database or Redis cannot be asked.
pub async fn run(settings: &InspectSettings) -> anyhow::Result<()> {
    let report = report(settings).await?;
    match settings.output {
        Output::Json => println!("{report:#}"),
        Output::Text => print!("{}", text(&report)),
    }
    Ok(())
}

async fn report(settings: &InspectSettings) -> anyhow::Result<Value> {
    let latch = Readiness::default().latch("redis");
    let redis = Redis::open(settings.redis.settings(), ConnectionMetrics::declare(), latch)?;
    let store = store::open(&settings.database).await.context("the database cannot be opened")?;
    let mut streams = Vec::new();
    let custom = store.custom_streams().await?;
    for name in STREAMS.iter().map(|kind| kind.name.to_owned()).chain(custom) {
        let stream = RedisStream::new(&redis, &name)?;
        let health = stream.health(&Thresholds::default()).await.context("Redis cannot be asked")?;
        let groups = health.state.iter().flat_map(|state| &state.groups).map(|group| {
            let consumers = group.consumers.iter().map(|one| {
                json!({"name": one.name, "pending": one.pending, "idleMs": one.idle.as_millis() as u64})
            });
            json!({
                "name": group.name, "pending": group.pending, "lag": group.lag,
                "consumers": consumers.collect::<Vec<_>>(),
            })
        });
        streams.push(json!({
            "name": name,
            "length": health.state.as_ref().map_or(0, |state| state.length),
            "deadLetters": stream.dead_letters().count().await?,
            "groups": groups.collect::<Vec<_>>(),
            "issues": health.issues.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }));
    }
    let stats = store.stats().await?;
    let sum = |part: fn(&store::TypeStats) -> i64| stats.types.iter().map(part).sum::<i64>();
    Ok(json!({
        "streams": streams,
        "outbox": store.outbox_len().await?,
        "events": {
            "processed": sum(|of| of.processed), "pending": sum(|of| of.pending), "errors": sum(|of| of.errors),
        },
        "tallies": stats.tallies.iter().map(|(reader, count)| json!({"reader": reader, "entries": count}))
            .collect::<Vec<_>>(),
    }))
}

fn text(report: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines = Vec::new();
    for stream in list(&report["streams"]) {
        lines.push(format!(
            "{}: {} entries, {} dead letters",
            word(&stream["name"]),
            stream["length"],
            stream["deadLetters"]
        ));
        for group in list(&stream["groups"]) {
            let (pending, lag) = (&group["pending"], &group["lag"]);
            lines.push(format!("  {}: {pending} pending, lag {lag}", word(&group["name"])));
            for consumer in list(&group["consumers"]) {
                let (pending, idle) = (&consumer["pending"], &consumer["idleMs"]);
                lines.push(format!("    {}: {pending} pending, idle for {idle} ms", word(&consumer["name"])));
            }
        }
        lines.extend(list(&stream["issues"]).iter().map(|issue| format!("  ! {}", word(issue))));
    }
    let events = &report["events"];
    lines.push(format!(
        "events: {} processed, {} pending, {} errors; {} in the outbox",
        events["processed"], events["pending"], events["errors"], report["outbox"]
    ));
    for tally in list(&report["tallies"]) {
        lines.push(format!("{} has counted {} entries", word(&tally["reader"]), tally["entries"]));
    }
    lines.join("\n") + "\n"
}
