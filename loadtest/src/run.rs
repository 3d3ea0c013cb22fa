//! Runs a load: checks the gateway, sends the requests, counts the outcomes and returns the report.

use std::time::Instant;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use crate::load::Load;
use crate::tally::Tally;
use crate::{Caller, Mode, Options, Report, closed_loop, health, open_loop};

/// Checks that the gateway is healthy, sends the load and returns the report.
///
/// # Errors
/// [`health::Unavailable`] if there is no healthy gateway. Any other error is a fault of this process.
/// Failed requests are no error: the report contains them.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let client = client(options).context("building the HTTP client")?;
    health::check(&client, &options.url).await?;

    let bar = progress_bar(options.requests());
    let (outcomes, mut incoming) = mpsc::unbounded_channel();
    let load = Load {
        caller: Caller::new(client, &options.url, options.timeout.0),
        corpus: options.body_file.clone().unwrap_or_default(),
        start: Instant::now(),
        requests: options.requests().unwrap_or(u64::MAX),
        duration: options.duration.map(|duration| duration.0),
        outcomes,
    };
    let mut tally = Tally::new(load.start, options.deadline.map(|deadline| deadline.0));
    let start = load.start;
    let sending = match options.rate {
        Some(rate) => tokio::spawn(open_loop::send(load, rate)),
        None => tokio::spawn(closed_loop::send(load, options.callers())),
    };
    // Ends when the last caller ends, since it drops the last sender of the channel.
    while let Some(outcome) = incoming.recv().await {
        tally.record(outcome);
        bar.inc(1);
    }
    let elapsed = start.elapsed();
    bar.finish_and_clear();
    let sent = sending.await.context("the sender panicked")??;
    ensure!(sent == tally.requests(), "a caller panicked: {sent} were sent, {} counted", tally.requests());
    Ok(Report::new(options, tally, elapsed))
}

fn client(options: &Options) -> reqwest::Result<reqwest::Client> {
    let key = options
        .api_key
        .iter()
        .map(|key| (reqwest::header::HeaderName::from_static("x-api-key"), key.clone()));
    let idle = match options.mode {
        Mode::Sequential | Mode::Concurrent => usize::try_from(options.callers()).unwrap_or(usize::MAX),
        // No limit, so that later requests reuse all connections.
        Mode::Rate => usize::MAX,
    };
    reqwest::Client::builder()
        .default_headers(key.collect())
        // With an HTTP proxy in between, the load would measure the proxy.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(idle)
        .build()
}

/// The bar is drawn on standard error, so that standard output holds only the report. If standard error
/// is not a terminal, indicatif draws nothing.
fn progress_bar(requests: Option<u64>) -> ProgressBar {
    let (bar, template) = match requests {
        Some(requests) => {
            (ProgressBar::new(requests), "{wide_bar} {human_pos}/{human_len} {per_sec} {elapsed} (eta {eta})")
        }
        None => (ProgressBar::no_length(), "{spinner} {human_pos} answered {per_sec} {elapsed}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
