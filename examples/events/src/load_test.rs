//! `events load-test`: sends events of all kinds to a running API, and checks that the statistics add up to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::config::{LoadSettings, Output};
use crate::model::new_id;

/// What each of four requests publishes, by turns.
const KINDS: [&str; 4] = ["user.created", "message.sent", "task.created", "system.info"];

struct Api {
    client: Client,
    url: String,
    token: Option<String>,
}

/// Sends the load, waits until everything is processed, and prints what was measured.
///
/// # Errors
/// A request was refused, or the statistics do not add up within the patience.
pub async fn run(settings: LoadSettings) -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
    let url = settings.events_url.trim_end_matches('/').to_owned();
    let mut api = Api { client, url, token: None };
    if let Some(password) = &settings.events_password {
        let login = json!({"username": settings.events_username, "password": password});
        let answer = api.post("/api/auth/login", &login).await.context("the login failed")?;
        api.token = answer["token"].as_str().map(str::to_owned);
    }
    let api = Arc::new(api);
    let before = api.stats().await?;
    let started = Instant::now();
    send(&settings, &api).await?;
    let sent_in = started.elapsed();
    let after = processed(&settings, &api, &before).await?;
    let all = started.elapsed();
    let quarters = check_kinds(settings.count, &before, &after)?;
    print(&settings, sent_in, all, &quarters);
    Ok(())
}

/// How many events of each kind were processed, if it is as many as were sent.
fn check_kinds(count: u64, before: &Value, after: &Value) -> anyhow::Result<Vec<u64>> {
    let counted = KINDS.iter().enumerate().map(|(at, kind)| {
        let expected = (count + (KINDS.len() - 1 - at) as u64) / KINDS.len() as u64;
        let counted = of_type(after, kind, "processed") - of_type(before, kind, "processed");
        ensure!(counted == expected, "{counted} events {kind} were processed, but {expected} were sent");
        Ok(counted)
    });
    counted.collect()
}

fn print(settings: &LoadSettings, sent_in: Duration, all: Duration, counted: &[u64]) {
    let count = settings.count;
    if settings.output == Output::Json {
        let (sent, processed) = (sent_in.as_secs_f64(), all.as_secs_f64());
        println!("{}", json!({"events": count, "sentSeconds": sent, "processedSeconds": processed}));
        return;
    }
    for (what, time) in [("sent", sent_in), ("processed", all)] {
        println!("{what}: {count} events in {time:.1?} ({:.0} a second)", count as f64 / time.as_secs_f64());
    }
    for (kind, counted) in KINDS.iter().zip(counted) {
        println!("  {kind}: {counted}");
    }
    println!("the statistics add up to what was sent");
}

async fn send(settings: &LoadSettings, api: &Arc<Api>) -> anyhow::Result<()> {
    let (next, count, run) = (Arc::new(AtomicU64::new(0)), settings.count, new_id());
    // A run of its own, so that names are unique and a second run is possible.
    let run = run.replace('-', "");
    let mut callers = JoinSet::new();
    for _ in 0..settings.concurrency {
        let (api, next, run) = (Arc::clone(api), Arc::clone(&next), run.clone());
        callers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                let (path, body) = request(number, &run);
                api.post(path, &body).await?;
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}

fn request(number: u64, run: &str) -> (&'static str, Value) {
    let name = format!("{}-{number}", &run[run.len() - 16..]);
    match number % KINDS.len() as u64 {
        0 => ("/api/users", json!({"username": name, "email": format!("{name}@example.org")})),
        1 => (
            "/api/events/chat",
            json!({"senderId": "load", "receiverId": "test", "content": format!("message {number}"), "roomId": format!("room-{}", number % 8)}),
        ),
        2 => (
            "/api/events/tasks",
            json!({"title": format!("task {number}"), "assignedTo": "load", "createdBy": "test"}),
        ),
        _ => ("/api/events/logs", json!({"level": "info", "message": format!("line {number}")})),
    }
}

/// Waits until as many events more are processed as were sent, and returns the statistics.
async fn processed(settings: &LoadSettings, api: &Api, before: &Value) -> anyhow::Result<Value> {
    let give_up_at = Instant::now() + settings.patience.0;
    loop {
        let after = api.stats().await?;
        let more = |name: &str| after[name].as_i64().unwrap_or(0) - before[name].as_i64().unwrap_or(0);
        if more("processed") >= settings.count as i64 {
            ensure!(
                more("total") == settings.count as i64 && more("errors") == 0,
                "the statistics show {} events more and {} errors, but {} events were sent",
                more("total"),
                more("errors"),
                settings.count
            );
            return Ok(after);
        }
        ensure!(
            Instant::now() < give_up_at,
            "{} of {} events were processed within {}: is a consumer group running?",
            more("processed"),
            settings.count,
            settings.patience
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn of_type(stats: &Value, kind: &str, part: &str) -> u64 {
    let types = stats["byType"].as_array().map(Vec::as_slice).unwrap_or_default();
    types.iter().find(|of| of["eventType"] == kind).and_then(|of| of[part].as_u64()).unwrap_or(0)
}

impl Api {
    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(format!("{}{path}", self.url)).json(body);
        self.answer(path, request).await
    }

    async fn stats(&self) -> anyhow::Result<Value> {
        let path = "/api/events/stats";
        self.answer(path, self.client.get(format!("{}{path}", self.url))).await
    }

    async fn answer(&self, path: &str, mut request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.with_context(|| format!("{path} does not answer"))?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "{path} was answered with {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}
