//! Real runs of the harness: it is quiet when nothing is wrong, and notices what is.

use std::path::Path;

use chaos::checker::Finding;
use chaos::options::Options;
use chaos::report::Report;
use chaos::rogue::Plant;
use chaos::run::run;
use clap::Parser;
use tokio::runtime::Runtime;

/// Ten seconds of load without faults.
fn calm(plant: Option<Plant>) -> Report {
    let binaries = Path::new(env!("CARGO_BIN_EXE_chaos-proxy")).parent().expect("a folder");
    assert!(binaries.join("ingress").is_file(), "run `cargo build --workspace` first");
    let options = ["chaos", "--calm", "--duration", "10s", "--rate", "60"];
    let options = Options { plant, binaries: Some(binaries.to_owned()), ..Options::parse_from(options) };
    let report = Runtime::new().expect("a runtime").block_on(run(&options));
    report.expect("it could be run")
}

fn notices(plant: Plant) {
    let report = calm(Some(plant));

    let finding = report.findings.iter().find(|finding| finding.invariant == plant.breaks());
    assert!(report.is_good() && !finding.is_none_or(Finding::holds), "{report}");
}

#[test]
fn a_calm_run_keeps_every_promise() {
    let report = calm(None);

    assert!(report.findings.iter().all(Finding::holds), "{report}");
}

#[test]
fn an_acknowledgement_before_the_reply_is_noticed() {
    notices(Plant::AckBeforeReply);
}

#[test]
fn a_swapped_reply_is_noticed() {
    notices(Plant::SwappedReply);
}

#[test]
fn a_lost_entry_is_noticed() {
    notices(Plant::LostEntry);
}

#[test]
fn a_stolen_lease_is_noticed() {
    notices(Plant::StolenLease);
}
