//! The load itself: so many callers, each taking the next number until none is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;

use crate::report::Tally;
use crate::{Caller, Options, Report, corpus, health};

/// Checks that the gateway is up, sends the load and returns what happened.
///
/// # Errors
/// [`health::Unavailable`] if there is no healthy gateway; anything else means that this process
/// itself is at fault. Failed requests are no error: they are in the report.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let client = client(options).context("building the HTTP client")?;
    health::check(&client, &options.url).await?;

    let caller = Caller::new(client, &options.url, options.timeout.0);
    let bar = progress_bar(options.count.get());
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..options.callers() {
        callers.spawn(call_until(options.count.get(), next.clone(), caller.clone(), bar.clone()));
    }
    let mut total = Tally::default();
    while let Some(tally) = callers.join_next().await {
        total.add(tally.context("a caller panicked")?);
    }
    let elapsed = start.elapsed();
    bar.finish_and_clear();
    Ok(Report::new(options, total, elapsed))
}

async fn call_until(count: u64, next: Arc<AtomicU64>, caller: Caller, bar: ProgressBar) -> Tally {
    let mut tally = Tally::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return tally;
        }
        tally.record(caller.call(corpus::place(number)).await);
        bar.inc(1);
    }
}

fn client(options: &Options) -> reqwest::Result<reqwest::Client> {
    let key = options
        .api_key
        .iter()
        .map(|key| (reqwest::header::HeaderName::from_static("x-api-key"), key.clone()));
    reqwest::Client::builder()
        .default_headers(key.collect())
        // A proxy between the load and its target would be what is measured.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(usize::try_from(options.callers()).unwrap_or(usize::MAX))
        .build()
}

/// On standard error, so that standard output holds the report alone; indicatif draws nothing
/// when that is no terminal.
fn progress_bar(count: u64) -> ProgressBar {
    let bar = ProgressBar::new(count);
    if let Ok(style) =
        ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {per_sec} {elapsed} (eta {eta})")
    {
        bar.set_style(style);
    }
    bar
}
