//! The process: settings, metrics, probes, the page.

use std::process::Command;

use streamgate::testing::RedisServer;

use crate::harness::Replica;

const README: &str = include_str!("../../README.md");

#[test]
fn bad_settings_end_with_64_and_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("keys");
    std::fs::write(&broken, "desk:admin:hunter2\n").expect("written");
    let broken = broken.to_str().expect("text");
    for (variable, value, rule) in [
        ("CHAT_LISTEN", "5030", "must be an address with a port"),
        ("CHAT_KEPT", "0", "must be a whole number from 1"),
        ("CHAT_HEARTBEAT", "31s", "CHAT_HEARTBEAT=31s must be from 100ms to 30s"),
        ("CHAT_HEARTBEAT", "15", "must be a duration with its unit"),
        ("CHAT_RETRY", "0s", "must be from 10ms to 1m"),
        ("CHAT_WRITE_TIMEOUT", "1ms", "must be from 100ms"),
        ("CHAT_QUEUE", "many", "must be a whole number"),
        ("CHAT_SEND_RATE", "0", "must be a whole number from 1"),
        ("CHAT_STREAM", "a b", "must be 1 to 256 visible"),
        ("CHAT_KEYS_FILE", "/nowhere", "must be a file that can be read"),
        ("CHAT_KEYS_FILE", broken, "line 1 must have a hash of 64 hexadecimal digits"),
        ("REDIS_URL", "redis:/:hunter2@x", "REDIS_URL=*** must be a URL"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
        let ended = command.env_clear().env(variable, value).output().expect("runs");

        let said = String::from_utf8(ended.stderr).expect("text");
        assert_eq!(ended.status.code(), Some(64), "{variable}={value}: {said}");
        assert!(said.contains(rule) && said.lines().count() == 1, "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn every_setting_and_metric_is_in_the_readme() {
    let help = Command::new(env!("CARGO_BIN_EXE_chat")).arg("--help").output().expect("runs").stdout;
    let help = String::from_utf8(help).expect("text");
    let variables = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    let own: Vec<_> = variables.filter(|name| name.starts_with("CHAT_")).collect();
    assert!(own.len() > 10, "{help}");
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[]);
    replica.get("/nothing");

    let scrape = replica.get("/metrics").body;
    let metrics: Vec<_> =
        scrape.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();

    let own_metrics = metrics.iter().filter(|name| name.starts_with("chat_")).copied();
    for name in own.iter().copied().chain(own_metrics.clone()) {
        assert!(README.contains(&format!("`{name}`")), "{name} is not in the README");
    }
    assert!(own_metrics.count() == 5 && metrics.contains(&"process_resident_memory_bytes"), "{scrape}");
}

#[test]
fn the_page_has_no_inline_script_and_a_strict_policy() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[]);

    let (page, script, style) = (replica.get("/"), replica.get("/chat.js"), replica.get("/chat.css"));

    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.body.matches("<script").count(), 1);
    assert!(page.body.contains("<script src=\"chat.js\" type=\"module\"></script>"));
    let attributes = page.body.split_whitespace();
    assert!(
        !attributes.into_iter().any(|word| word.starts_with("on") && word.contains('=')),
        "{}",
        page.body
    );
    assert!(!page.body.contains("style="));
    for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!script.body.contains(sink), "{sink}");
    }
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    for answer in [page, script, style] {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}
