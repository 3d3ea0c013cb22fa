//! `stack run`, with which `make` starts the tests that are not in Rust.

use std::net::TcpStream;
use std::process::{Command, Output};

use crate::harness::binary;

/// Runs `script` beside a stack that has the setting SHUTDOWN_GRACE=1s.
fn run(script: &str) -> Output {
    let mut stack = Command::new(binary("stack"));
    stack.args(["run", "SHUTDOWN_GRACE=1s", "--", "sh", "-c", script]);
    stack.output().expect("`cargo build --workspace` has built it")
}

#[test]
fn a_command_gets_addresses_and_its_exit_code_counts() {
    let script = r#"
        echo "$INGRESS_URL $INGRESS_ADMIN_URL $PROXY_URL $REDIS_URL"
        test "$SHUTDOWN_GRACE" = 1s && exit 7
    "#;

    let ran = run(script);

    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!((ran.status.code(), said.split_whitespace().count()), (Some(7), 4), "{said}");
    for url in said.split_whitespace() {
        let (_, address) = url.split_once("://").expect("a URL");
        TcpStream::connect(address).expect_err("everything has ended");
    }
}

#[test]
fn a_process_that_ends_beside_the_command_is_a_failure() {
    // It is a zombie until its launcher looks.
    let script = r#"
        pid=$(ps -eo pid=,ppid=,comm= | awk -v stack=$PPID '$2 == stack && $3 == "ingress" { print $1 }')
        kill -9 $pid
        until ps -o stat= -p $pid | grep -q Z; do sleep 0.01; done
    "#;

    let ran = run(script);

    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("ingress ended by itself (SIGKILL)"), "{said}");
}
