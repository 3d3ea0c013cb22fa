//! The raw Redis cycle: XADD request, XREADGROUP, XADD reply with XACK, XREAD, and nothing else.
//!
//! One connection, no runtime. It prints what it has seen in the shape of `bench::lab::wrk::Seen`.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use redis::{Commands, Connection, Pipeline, Value, cmd};
use serde_json::json;

/// The raw Redis cycle of a request and its reply
#[derive(Debug, Args)]
pub struct Options {
    /// The Redis server
    #[arg(long)]
    redis: String,
    /// How long
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Requests in one cycle: 1 is latency, hundreds are the limit of the server
    #[arg(long, default_value_t = 1)]
    batch: usize,
}

const REQUESTS: &str = "cycle-requests";
const REPLIES: &str = "cycle-replies";
const GROUP: &str = "cycle-workers";
/// Entries kept while it goes on.
const KEPT: usize = 10_000;

const ID: &str = "0199f2a4-7c1e-7b3a-9d50-2f6c1f0f8a11";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const QUESTION: &str = r#"{"city":"New York","location":"Downtown"}"#;

/// Runs it for as long as asked.
///
/// # Errors
/// Redis does not do what it should.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let client = redis::Client::open(options.redis.as_str()).context("--redis")?;
    let mut redis = client.get_connection()?;
    redis.del::<_, ()>(&[REQUESTS, REPLIES])?;
    cmd("XGROUP").arg("CREATE").arg(REQUESTS).arg(GROUP).arg("0").arg("MKSTREAM").exec(&mut redis)?;
    let answer = "x".repeat(760);
    let mut times = Vec::new();
    let (mut tail, mut since_trim) = ("0-0".to_owned(), 0);
    let started = Instant::now();
    while started.elapsed().as_secs_f64() < options.seconds {
        let begun = Instant::now();
        cycle(&mut redis, options.batch, &answer, &mut tail)?;
        times.push(begun.elapsed());
        since_trim += options.batch;
        if since_trim > KEPT {
            since_trim = 0;
            trim(&mut redis)?;
        }
    }
    let cycles = (times.len() * options.batch) as f64;
    let duration = started.elapsed();
    times.sort_unstable();
    let percentile = |share: f64| micros(times[((times.len() - 1) as f64 * share) as usize]);
    redis.del::<_, ()>(&[REQUESTS, REPLIES])?;
    println!(
        "{}",
        json!({
            "requests": cycles, "duration_us": micros(duration), "errors": 0,
            "p50_us": percentile(0.5), "p99_us": percentile(0.99), "p999_us": percentile(0.999),
        })
    );
    Ok(())
}

fn cycle(redis: &mut Connection, batch: usize, answer: &str, tail: &mut String) -> anyhow::Result<()> {
    let mut asking = Pipeline::with_capacity(batch);
    for _ in 0..batch {
        let request = asking.cmd("XADD").arg(REQUESTS).arg("*").arg("id").arg(ID);
        request
            .arg("reply_to")
            .arg(REPLIES)
            .arg("deadline")
            .arg("1795255200000")
            .arg("traceparent")
            .arg(TRACE);
        request.arg("content_type").arg("application/json").arg("body").arg(QUESTION);
    }
    asking.query::<Value>(redis)?;

    let mut reading = cmd("XREADGROUP");
    reading.arg("GROUP").arg(GROUP).arg("w").arg("COUNT").arg(batch).arg("STREAMS").arg(REQUESTS).arg(">");
    let taken = ids(&reading.query(redis)?);
    anyhow::ensure!(taken.len() == batch, "{} of {batch} requests were read", taken.len());

    let mut answering = Pipeline::with_capacity(batch + 1);
    for _ in 0..batch {
        let reply = answering.cmd("XADD").arg(REPLIES).arg("*").arg("id").arg(ID).arg("status").arg("200");
        reply.arg("content_type").arg("application/json").arg("body").arg(answer);
        reply.arg("worker").arg("w").arg("attempt").arg("1").arg("work_us").arg("5");
    }
    answering.cmd("XACK").arg(REQUESTS).arg(GROUP).arg(&taken);
    answering.query::<Value>(redis)?;

    let mut listening = cmd("XREAD");
    listening.arg("COUNT").arg(batch).arg("STREAMS").arg(REPLIES).arg(tail.as_str());
    let heard = ids(&listening.query(redis)?);
    anyhow::ensure!(heard.len() == batch, "{} of {batch} replies were read", heard.len());
    tail.clone_from(&heard[batch - 1]);
    Ok(())
}

fn trim(redis: &mut Connection) -> anyhow::Result<()> {
    for stream in [REQUESTS, REPLIES] {
        cmd("XTRIM").arg(stream).arg("MAXLEN").arg("~").arg(KEPT).exec(redis)?;
    }
    Ok(())
}

/// The ids of the entries of one stream: `[[stream, [[id, fields], …]]]`.
fn ids(read: &Value) -> Vec<String> {
    let entries = nth(read, 0).and_then(|stream| nth(stream, 1));
    let Some(Value::Array(entries)) = entries else { return Vec::new() };
    entries.iter().filter_map(|entry| text(nth(entry, 0)?)).collect()
}

fn nth(value: &Value, index: usize) -> Option<&Value> {
    match value {
        Value::Array(values) => values.get(index),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1_000.0
}
