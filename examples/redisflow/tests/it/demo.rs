//! `redisflow demo` where there is no terminal. With one, scripts/tests/test_redisflow.py uses it.

use std::process::Command;

use stack::Process;
use stack::process::PATIENCE;
use streamgate::testing::eventually;

use crate::harness::{Flow, kill, stop};

/// The processes that this one started: id and arguments.
fn children(of: u32) -> Vec<(i32, String)> {
    let all = Command::new("ps").args(["-eo", "pid=,ppid=,args="]).output().expect("ps runs");
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    let children = all.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (pid, parent) = (words.next()?.parse().ok()?, words.next()?.parse::<u32>().ok()?);
        (parent == of).then(|| (pid, words.collect::<Vec<_>>().join(" ")))
    });
    children.collect()
}

fn demo(flow: &Flow) -> Process {
    let paces = ["--first", "50ms", "--second", "30ms", "--work", "5ms"];
    let demo = flow.start(&[&["demo"], &paces[..]].concat());
    for part in ["consumer-1", "consumer-2", "Producer1 ", "Producer2 "] {
        let has =
            |line: &str| line.starts_with(part) && (line.contains("INFO done") || line.contains("INFO sent"));
        eventually(&format!("{part} works"), || demo.log().lines().any(has));
    }
    demo
}

#[tokio::test]
async fn without_a_terminal_the_demo_shows_lines_and_stops_all() {
    let flow = Flow::new().await;
    let mut demo = demo(&flow);
    let children = children(demo.pid());
    assert_eq!(children.len(), 4, "{children:?}");
    eventually("it tells the state", || {
        demo.log().lines().any(|line| line.starts_with("redisflow  | ") && line.contains("length"))
    });
    let (consumer, _) = children.iter().find(|(_, words)| words.contains("consumer-1")).expect("a consumer");

    let signalled =
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(*consumer), nix::sys::signal::Signal::SIGKILL);
    signalled.expect("killed");
    eventually("it notices", || demo.log().contains("consumer-1 | ended: signal: 9 (SIGKILL)"));

    assert_eq!(stop(&mut demo), Some(0), "{}", demo.log());
    assert!(!demo.log().contains('\u{1b}'), "no view without a terminal");
    for (pid, words) in children {
        assert!(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err(), "{words} still runs");
    }
    // Producers stop first, so that nothing is left behind unless a consumer was killed.
    let stopped = demo.log();
    let at = |part: &str| {
        stopped.lines().position(|line| line.starts_with(part) && line.ends_with("INFO stopped"))
    };
    assert!(at("Producer1") < at("consumer-2") && at("Producer1").is_some(), "{stopped}");
}

#[tokio::test]
async fn no_part_outlives_a_demo_that_is_killed() {
    let flow = Flow::new().await;
    let mut demo = demo(&flow);
    let children = children(demo.pid());
    assert_eq!(children.len(), 4, "{children:?}");

    kill(&mut demo);

    for (pid, words) in children {
        eventually(&format!("{words} ends"), || {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err()
        });
    }
}

#[tokio::test]
async fn a_demo_without_redis_says_so() {
    let mut flow = Flow::new().await;
    flow.server.kill();

    let mut demo = flow.start(&["demo"]);

    let ended = demo.wait(PATIENCE).expect("it ends");
    assert_eq!(ended.code(), Some(1));
    assert!(demo.log().contains("no Redis answered at"), "{}", demo.log());
}
