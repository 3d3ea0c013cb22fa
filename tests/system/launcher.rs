//! `stack run`, `stack redis` and `stack system`, with which `make` starts the tests that are not in Rust, and the
//! examples.

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};

use stack::process::PATIENCE;

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
fn a_command_runs_beside_a_redis_of_its_own() {
    let redis = |script: &str, url: &str| {
        let mut stack = Command::new(binary("stack"));
        stack
            .args(["redis", "--", "sh", "-c", script])
            .env("REDIS_URL", url)
            .env_remove("REDIS_CONNECTION_STRING");
        let ran = stack.output().expect("`cargo build --workspace` has built it");
        (ran.status.code(), String::from_utf8_lossy(&ran.stdout).trim().to_owned())
    };

    let (own, given) = (redis("echo $REDIS_URL; exit 7", ""), redis("echo $REDIS_URL", "redis://a:1"));

    let (_, address) = own.1.split_once("redis://").expect("a URL");
    assert_eq!(own.0, Some(7), "{own:?}");
    TcpStream::connect(address).expect_err("the server has ended");
    assert_eq!(given, (Some(0), "redis://a:1".to_owned()));
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

/// `stack system chat` with these arguments.
fn chat(arguments: &[&str]) -> Command {
    let mut stack = Command::new(binary("stack"));
    stack.args(["system", "chat"]).args(arguments);
    stack
}

#[test]
fn a_system_runs_beside_a_command() {
    let script = r#"echo "$CHAT_1_URL $CHAT_2_URL $REDIS_URL"; exit 7"#;

    let ran = chat(&["--", "sh", "-c", script]).output().expect("`cargo build --workspace` has built it");

    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!((ran.status.code(), said.split_whitespace().count()), (Some(7), 3), "{said}");
}

#[test]
fn a_taken_port_of_a_system_is_told_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let setting = format!("CHAT_2_LISTEN={}", taken.local_addr().expect("bound"));

    let ran = chat(&[&setting, "--", "true"]).output().expect("runs");

    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains(" is used by ") && said.contains("choose another: CHAT_2_LISTEN=127"), "{said}");
}

#[test]
fn a_killed_part_of_a_system_is_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("text");
    let bin_dir = binary("");
    let places = ["CHAT_LISTEN", "CHAT_2_LISTEN"]
        .map(|name| format!("{name}={}", stack::free_address().expect("free")));
    let mut command =
        chat(&["--bin-dir", bin_dir.to_str().expect("text"), "--data-dir", data, &places[0], &places[1]]);
    command.env_remove("REDIS_URL");
    let mut system = stack::Process::start("stack", command).expect("it starts");
    system.until("it is up", PATIENCE, |system| system.log().contains("chat is up.")).expect("it is up");

    let kill = format!(
        "kill -9 $(ps -eo pid=,ppid=,comm= | awk '$2 == {} && $3 == \"chat\" {{ print $1; exit }}')",
        system.pid()
    );
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("runs").success());

    let again = |system: &stack::Process| {
        system.log().contains("(SIGKILL); starting it again")
            && system.log().matches("INFO listening").count() == 3
    };
    system.until("it runs again", PATIENCE, again).expect("it runs again");
    assert!(system.stop(PATIENCE), "{}", system.log());
}
