//! What the processes show is what the documents say.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use streamgate::testing::RedisServer;

use crate::harness::{ask, binary, client, ingress, proxy};

const OPERATIONS: &str = include_str!("../../docs/OPERATIONS.md");

/// The metrics a process exposes, each with its help text.
fn described(metrics: &str) -> BTreeSet<&str> {
    metrics.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect()
}

const RESILIENCE: &str = include_str!("../../docs/RESILIENCE.md");

/// The names of all tests of the workspace.
fn tests_in(folder: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            tests_in(&path, names);
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).expect("readable");
            names.extend(
                text.split("fn ").skip(1).filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())),
            );
        }
    }
}

const ARCHITECTURE: &str = include_str!("../../docs/ARCHITECTURE.md");

/// Paths of all files of the workspace, relative to it.
fn files_below(root: &Path, folder: &Path, paths: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            files_below(root, &path, paths);
        } else if path.is_file() {
            paths.push(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
        }
    }
}

#[test]
fn every_file_that_architecture_and_resilience_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    files_below(&root, &root, &mut files);
    // `outages.rs` may be anywhere; `tests/system/outages.rs` is one file.
    let exists = |named: &str| files.iter().any(|file| file == named || file.ends_with(&format!("/{named}")));

    let quoted = [ARCHITECTURE, RESILIENCE].into_iter().flat_map(|text| text.split('`').skip(1).step_by(2));
    let named: Vec<&str> =
        quoted.filter(|text| [".rs", ".lua", ".md", ".py"].iter().any(|end| text.ends_with(end))).collect();

    assert!(named.len() > 80, "{named:?}");
    for name in named {
        assert!(exists(name), "there is no {name}");
    }
}

#[test]
fn every_test_that_architecture_and_resilience_name_exists() {
    let mut tests = Vec::new();
    tests_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut tests);
    // A name may be shortened: `the_start_…_and_the_end`.
    let exists = |short: &str| {
        tests.iter().any(|name| {
            let (first, rest) = short.split_once('…').unwrap_or((short, ""));
            let Some(end) = name.strip_prefix(first) else { return false };
            if !short.contains('…') {
                return end.is_empty();
            }
            rest.split('…').try_fold(end, |left, part| Some(left.split_once(part)?.1)).is_some()
        })
    };

    let quoted = [ARCHITECTURE, RESILIENCE].into_iter().flat_map(|text| text.split('`').skip(1).step_by(2));
    let named: Vec<&str> = quoted
        .filter(|text| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_…".contains(c)))
        .filter(|text| !text.starts_with("streamgate_") && !text.starts_with("dlq_"))
        .filter(|text| text.contains('…') || text.matches('_').count() > 2 || text.ends_with("_heals"))
        .collect();

    assert!(named.len() > 40, "{named:?}");
    for name in named {
        assert!(exists(name), "no test is called {name}");
    }
}

#[tokio::test]
async fn every_metric_has_a_help_text_and_is_in_the_operations_manual() {
    let server = RedisServer::start();
    let (proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &[]).await);
    let client = client();
    assert_eq!(ask(&client, &ingress, "Oslo").await.0, 200);

    for url in [ingress.url(1, "/metrics"), proxy.url(0, "/metrics")] {
        let text = client.get(url).send().await.expect("metrics").text().await.expect("text");
        let described = described(&text);
        assert!(described.len() > 10, "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let name = line.split(['{', ' ']).next().expect("a name");
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(described.contains(name) || described.contains(family), "{name} has no help text");
        }
        for name in described {
            assert!(OPERATIONS.contains(&format!("`{name}`")), "{name} is not in docs/OPERATIONS.md");
        }
    }
}

#[test]
fn every_setting_is_in_the_help_and_in_the_operations_manual() {
    for name in ["ingress", "proxy"] {
        let help = Command::new(binary(name)).arg("--help").output().expect("runs");
        let help = String::from_utf8(help.stdout).expect("text");
        let variables: Vec<&str> =
            help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next()).collect();
        assert!(variables.len() > 10, "{help}");
        for variable in variables {
            assert!(OPERATIONS.contains(&format!("`{variable}`")), "{variable} is not in docs/OPERATIONS.md");
        }
    }
}

#[test]
fn every_value_of_a_setting_is_in_the_operations_manual() {
    for name in ["ingress", "proxy"] {
        let help = Command::new(binary(name)).arg("--help").output().expect("runs");
        let help = String::from_utf8(help.stdout).expect("text");
        let mut seen = BTreeSet::new();
        for setting in help.split("\n      --").filter(|setting| setting.contains("Possible values:")) {
            let Some((_, rest)) = setting.split_once("[env: ") else { continue };
            let variable = rest.split(['=', ']']).next().expect("a name");
            let start = format!("| `{variable}` |");
            let row = OPERATIONS.lines().find(|line| line.starts_with(&start)).expect("a row");
            let values = setting.lines().filter_map(|line| line.trim().strip_prefix("- ")?.split(':').next());
            for value in values {
                // The row names this prefix once for all samplers.
                let value = value.strip_prefix("parentbased_").unwrap_or(value);
                let what = row.rsplit('|').nth(1).expect("a cell");
                assert!(what.contains(value), "{variable}={value} is not in docs/OPERATIONS.md: {row}");
                seen.insert(variable.to_owned());
            }
        }
        assert!(seen.contains("LOG_FORMAT"), "{seen:?}\n{help}");
    }
}

#[test]
fn bad_configuration_ends_with_64_and_a_message_without_secrets() {
    for (name, variable, value, rule) in [
        ("proxy", "CLAIM_MIN_IDLE", "1s", "CLAIM_MIN_IDLE=1s must be at least 3 × LEASE_RENEWAL=500ms"),
        ("ingress", "REQUEST_TIMEOUT", "soon", "REQUEST_TIMEOUT=soon must be a duration with its unit"),
        ("ingress", "REDIS_URL", "redis:/:hunter2@x", "REDIS_URL=*** must be a URL such as"),
    ] {
        let ended = Command::new(binary(name)).env(variable, value).output().expect("runs");

        let said = String::from_utf8(ended.stderr).expect("text");
        assert_eq!(ended.status.code(), Some(64), "{said}");
        assert!(said.contains(rule) && said.lines().count() == 1, "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
