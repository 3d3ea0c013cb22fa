//! Tables, plots and aims, written into the documents.

mod aims;
mod capacity;
mod plots;
mod tables;

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;

use self::plots::{Plot, Scale};
use self::tables::Column;
use crate::document;
use crate::lab::gateway::BASELINE;
use crate::name::Name;
use crate::options::Places;
use crate::results::{Measure, Results, Sample};

/// Writes all there are results for, the rest of the documents stays as it is; false if there are none.
///
/// # Errors
/// Results or documents cannot be read or written.
pub fn write(places: &Places) -> anyhow::Result<bool> {
    let images = places.docs.join("img");
    fs::create_dir_all(&images).with_context(|| format!("{} cannot be made", images.display()))?;
    let (mut blocks, mut all) = (Vec::new(), Vec::new());
    for name in Name::value_variants() {
        let Some(results) = Results::load(&places.results, &name.text())? else { continue };
        blocks.push((name.text(), told(*name, &results)));
        draw(*name, &results, &images)?;
        all.push(results);
    }
    if all.is_empty() {
        return Ok(false);
    }
    let aims = aims::table(&all);
    let concurrency = all.iter().find(|results| results.experiment == Name::Concurrency.text());
    if let Some(capacity) = concurrency.and_then(capacity::table) {
        blocks.push(("capacity".to_owned(), capacity));
    }
    for (_, block) in &blocks {
        println!("\n{block}");
    }
    println!("\n{aims}");
    blocks.push(("aims".to_owned(), aims));
    let blocks: Vec<(String, String)> =
        blocks.into_iter().map(|(name, block)| (format!("bench:{name}"), block)).collect();
    let document = places.docs.join("PERFORMANCE.md");
    document::put(&document, &blocks)?;
    println!("written to {} and {}", document.display(), images.display());
    Ok(true)
}

const fn column(head: &'static str, over: &'static str, under: &'static str, measure: Measure) -> Column {
    Column { head, over, under, under_point: None, measure }
}

const fn to_first(head: &'static str, point: &'static str, measure: Measure) -> Column {
    Column { head, over: "gateway", under: "gateway", under_point: Some(point), measure }
}

/// The block of one experiment.
fn told(name: Name, results: &Results) -> String {
    use Measure::{P50, P99, PerSecond};
    let direct = column("answers/s, gateway / direct", "gateway", "direct", PerSecond);
    let nats = column("answers/s, gateway / NATS", "gateway", "nats", PerSecond);
    let nats_p99 = column("p99, gateway / NATS", "gateway", "nats", P99);
    let before = column("answers/s, gateway / baseline", "gateway", BASELINE, PerSecond);
    let (varied, columns) = match name {
        Name::Concurrency => {
            let bare = column("answers/s, bare / same front", "direct, bare front", "direct", PerSecond);
            let bare_nats = column("the same, NATS", "nats, bare front", "nats", PerSecond);
            ("connections", vec![direct, nats, nats_p99, bare, bare_nats, before])
        }
        Name::OneCore => {
            let cycle = column("p50, gateway / raw cycle", "gateway", "raw cycle", P50);
            ("connections", vec![direct, nats, nats_p99, cycle, before])
        }
        Name::Bodies => ("body", vec![nats, nats_p99]),
        Name::Replicas => (
            "replicas",
            vec![to_first("answers/s, to one replica", "1", PerSecond), to_first("p99", "1", P99)],
        ),
        Name::History => {
            ("entries", vec![to_first("answers/s, to none", "0", PerSecond), to_first("p99", "0", P99)])
        }
        Name::AppendOnly => {
            ("appendonly", vec![to_first("answers/s, to off", "off", PerSecond), to_first("p99", "off", P99)])
        }
        Name::Workers => ("", Vec::new()),
        Name::OpenLoop => {
            return format!("{}\n{}", tables::open_loop(results), tables::circumstances(results));
        }
    };
    let details = tables::details(results, if varied.is_empty() { "count" } else { varied });
    let circumstances = tables::circumstances(results);
    if columns.is_empty() {
        return format!("{details}\n{circumstances}");
    }
    format!("{}\n{details}\n{circumstances}", tables::ratios(results, varied, &columns))
}

/// The plots of one experiment, `bench-<experiment>.svg` and `bench-<experiment>-p99.svg`.
fn draw(name: Name, results: &Results, images: &Path) -> anyhow::Result<()> {
    let (title, across) = match name {
        Name::Concurrency => ("Two processors", "connections"),
        // Two points make no curve.
        Name::OneCore | Name::AppendOnly => return Ok(()),
        Name::Bodies => ("Bodies, both ways", "size"),
        Name::Replicas => ("Ingress replicas on one processor", "replicas"),
        Name::History => ("Finished requests on the stream", "entries"),
        Name::Workers => ("Workers", "count"),
        Name::OpenLoop => ("Open loop", "offered, times the capacity"),
    };
    let rate: fn(&Sample) -> f64 = |sample| sample.per_second;
    let p99: fn(&Sample) -> f64 = |sample| sample.p99_us / 1e3;
    for (suffix, up, value, scale) in
        [("", "answers a second", rate, Scale::Linear), ("-p99", "p99, ms", p99, Scale::Logarithmic)]
    {
        let path = images.join(format!("bench-{}{suffix}.svg", name.text()));
        plots::draw(results, &Plot { title, across, up, value, scale }, &path)?;
    }
    Ok(())
}
