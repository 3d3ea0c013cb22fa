//! What the processes show is what the documents say.

use std::collections::BTreeSet;
use std::process::Command;

use streamgate::testing::RedisServer;

use crate::harness::{ask, binary, client, ingress, proxy};

const OPERATIONS: &str = include_str!("../../docs/OPERATIONS.md");

/// The metrics a process exposes, each with its help text.
fn described(metrics: &str) -> BTreeSet<&str> {
    metrics.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect()
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
fn invalid_configuration_ends_with_64_and_one_message_without_secrets() {
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
