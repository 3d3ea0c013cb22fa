//! The command line: settings, and what `inspect` shows.

use serde_json::Value;
use stack::Process;
use streamgate::testing::eventually;

use crate::harness::{Flow, GROUP, STREAM, numbered, until_logged};

/// The exit code of a command and all that it says.
fn run(flow: &Flow, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let ended = flow.command(arguments).envs(variables.iter().copied()).output().expect("it runs");
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(said).expect("text"))
}

fn json(flow: &Flow, arguments: &[&str]) -> Value {
    let (code, said) = run(flow, arguments, &[]);
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[tokio::test]
async fn a_wrong_setting_ends_with_64_and_names_the_rule() {
    let flow = Flow::new().await;
    for (arguments, variables, rule) in [
        (&["producer", "--name", "two words"][..], &[][..], "REDISFLOW_PRODUCER=two words must have letters"),
        (&["producer", "--name", " "], &[], "REDISFLOW_PRODUCER=  must have 1 to 100 characters"),
        (&["producer", "--every", "soon"], &[], "REDISFLOW_EVERY=soon must be a duration with its unit"),
        (&["producer", "--every", "0s"], &[], "REDISFLOW_EVERY=0s must be at least 1ms"),
        (&["producer"], &[("REDISFLOW_KEEP", "0")], "REDISFLOW_KEEP=0 must be a whole number from 1 to"),
        (&["consumer", "--name", "two words"], &[], "REDISFLOW_CONSUMER=two words must be 1 to 128 visible"),
        (&["consumer", "--lease", "1ms"], &[], "REDISFLOW_LEASE=1ms must be at least 100ms"),
        (&["consumer"], &[("REDISFLOW_WORK", "-1s")], "REDISFLOW_WORK=-1s must be a duration"),
        (&["consumer", "--listen", "here"], &[], "REDISFLOW_LISTEN=here must be an address with a port"),
        (&["consumer", "--batch", "0"], &[], "REDISFLOW_BATCH=0 must be a whole number from 1 to"),
        (&["inspect", "--output", "xml"], &[], "--output=xml must be one of text, json"),
        (&["inspect", "--stream", ""], &[], "REDISFLOW_STREAM= must"),
        (&["demo", "--first", "0s"], &[], "--first=0s must be at least 1ms"),
        (&["inspect", "--redis-url", "http://:hunter2@x"], &[], "--redis-url=*** must be a URL such as"),
        (
            &["inspect"],
            &[("REDIS_CONNECTION_STRING", "redis://:hunter2@x:0")],
            "REDIS_CONNECTION_STRING=*** must",
        ),
        (&["inspect"], &[("REDIS_URL", "redis:/:hunter2@x")], "REDIS_URL=*** must be a URL such as"),
        (&["fly"], &[], "an argument is not understood"),
    ] {
        let (code, said) = run(&flow, arguments, variables);

        assert_eq!(code, Some(64), "{arguments:?}: {said}");
        assert!(said.contains(rule) && said.lines().count() == 1 && !said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn the_connection_string_comes_before_the_url() {
    let flow = Flow::new().await;
    let here = flow.server.url();
    let nowhere = "redis://127.0.0.1:1";

    for (arguments, variables, works) in [
        (&["inspect"][..], &[("REDIS_CONNECTION_STRING", here.as_str()), ("REDIS_URL", nowhere)][..], true),
        (&["inspect"], &[("REDIS_CONNECTION_STRING", nowhere), ("REDIS_URL", here.as_str())], false),
        (&["inspect"], &[("REDIS_CONNECTION_STRING", ""), ("REDIS_URL", here.as_str())], true),
        (&["inspect", "--redis-url", here.as_str()], &[("REDIS_CONNECTION_STRING", nowhere)], true),
    ] {
        let (code, said) = run(&flow, arguments, variables);

        assert_eq!(code, Some(if works { 0 } else { 1 }), "{said}");
        assert_eq!(said.contains("no Redis answered at 127.0.0.1:1"), !works, "{said}");
    }
}

#[tokio::test]
async fn inspect_shows_messages_groups_and_what_is_pending() {
    let flow = Flow::new().await;
    let ids = flow.write(&[numbered("text", 2), vec!["\u{1b}[2J".to_owned()]].concat()).await;
    let bad: String = flow.server.command(&["XADD", STREAM, "*", "body", "\u{ff}"]);
    let _consumer = flow.start(&["consumer", "--name", "c1", "--work", "60s", "--batch", "2"]);
    eventually("it holds two", || json(&flow, &["inspect", "pending", "--output", "json"])["count"] == 2);

    let all = json(&flow, &["inspect", "--output", "json"]);
    let (_, text) = run(&flow, &["inspect"], &[]);

    assert_eq!((&all["stream"]["name"], &all["stream"]["length"]), (&STREAM.into(), &4.into()));
    assert_eq!(all["entries"][0]["id"], bad);
    assert!(all["entries"][0]["error"].as_str().is_some_and(|error| error.starts_with("protobuf")), "{all}");
    assert_eq!(
        (&all["entries"][1]["producer"], &all["entries"][1]["content"]),
        (&"test".into(), &"\u{1b}[2J".into())
    );
    assert_eq!((&all["groups"][0]["name"], &all["groups"][0]["lag"]), (&GROUP.into(), &2.into()));
    assert_eq!(all["pending"]["byConsumer"]["c1"], 2);
    assert_eq!(all["pending"]["entries"][1]["id"], ids[1].to_string());
    for part in
        ["length 4", "test: text 1", "\u{fffd}[2J", "is no message", "pending 2 (c1 2)", "delivered 1 times"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
    for part in ["stream", "entries", "groups", "pending"] {
        let (code, said) = run(&flow, &["inspect", part, "--count", "1"], &[]);
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.is_empty() && said.len() < text.len(), "{said}");
    }
}

#[tokio::test]
async fn inspect_works_on_an_empty_server_and_live_without_terminal() {
    let mut flow = Flow::new().await;
    let empty = json(&flow, &["inspect", "--output", "json"]);
    assert_eq!((&empty["stream"]["length"], &empty["pending"]["count"]), (&0.into(), &0.into()));

    let text = flow.start(&["inspect", "live", "--every", "20ms"]);
    let lines = flow.start(&["inspect", "live", "--every", "20ms", "--output", "json"]);
    let says = |process: &Process, part: &str| process.log().contains(part);
    eventually("it shows the stream", || says(&text, "length 0, lag unknown, pending 0"));
    eventually("it shows the stream as JSON", || says(&lines, "\"length\":0"));
    flow.server.kill();
    eventually("it shows the outage", || says(&text, "Redis does not answer") && says(&lines, "\"error\":"));
    flow.server.restart();
    flow.write(&["again".to_owned()]).await;
    eventually("it goes on", || says(&text, "length 1") && says(&lines, "\"content\":\"again\""));
}

#[tokio::test]
async fn a_key_that_is_no_stream_is_refused_with_advice() {
    let flow = Flow::new().await;
    let _: String = flow.server.command(&["SET", STREAM, "text"]);

    let mut consumer = flow.consumer("c1", "1ms");
    let ended = consumer.wait(stack::process::PATIENCE).expect("it ends");

    assert_eq!(ended.code(), Some(1));
    assert!(consumer.log().contains("is no stream: choose another name"), "{}", consumer.log());
    let producer = flow.producer("Producer1", "10ms");
    until_logged(&producer, "failing; will retry until it works", 1);
}
