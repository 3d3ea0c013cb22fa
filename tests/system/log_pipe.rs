//! The pipe behind standard error is full or closed. The process loses log lines, never work.

use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::net::TcpListener;
use std::process::Command;

use nix::sys::signal::Signal;
use stack::LogReader;
use streamgate::testing::{RedisServer, eventually};

use crate::harness::{Process, ask_many, binary, ingress, metric_at, proxy};

const DROPPED: &str = "streamgate_log_lines_dropped_total";

/// Everything is logged, so that the pipe, 64 KiB, is full after a few requests.
const LOUD: [(&str, &str); 1] = [("RUST_LOG", "trace")];

/// Asks until a metric of `loud` counts dropped lines, at its nth address.
async fn ask_until_lines_are_dropped(ingress: &Process, loud: &Process, nth: usize) {
    // The metric is read anew every 2 s.
    while metric_at(loud, nth, DROPPED).await < 1_000.0 {
        ask_many(ingress, 50).await;
    }
}

#[tokio::test]
async fn an_ingress_with_a_full_log_pipe_works_and_ends() {
    let server = RedisServer::start();
    let _proxy = proxy(&server, "w1", &[]).await;
    let mut ingress = ingress(&server, &LOUD).await;
    ingress.log_reader(LogReader::Sleeps);

    ask_until_lines_are_dropped(&ingress, &ingress, 1).await;
    ask_many(&ingress, 50).await;
    ingress.signal(Signal::SIGTERM);

    assert_eq!(ingress.exit().code(), Some(0));
}

#[tokio::test]
async fn a_proxy_with_a_full_log_pipe_works_and_ends() {
    let server = RedisServer::start();
    let mut proxy = proxy(&server, "w1", &LOUD).await;
    let ingress = ingress(&server, &[]).await;
    proxy.log_reader(LogReader::Sleeps);

    ask_until_lines_are_dropped(&ingress, &proxy, 0).await;
    ask_many(&ingress, 50).await;
    proxy.signal(Signal::SIGTERM);

    assert_eq!(proxy.exit().code(), Some(0));
}

#[tokio::test]
async fn a_log_that_is_read_again_reports_how_many_lines_were_lost() {
    let server = RedisServer::start();
    let proxy = proxy(&server, "w1", &LOUD).await;
    let ingress = ingress(&server, &[]).await;
    proxy.log_reader(LogReader::Sleeps);
    ask_until_lines_are_dropped(&ingress, &proxy, 0).await;

    proxy.log_reader(LogReader::Reads);

    eventually("it tells", || proxy.log().contains("log lines were dropped"));
}

#[tokio::test]
async fn processes_whose_log_is_closed_work_and_end() {
    let server = RedisServer::start();
    let (mut proxy, mut ingress) = (proxy(&server, "w1", &LOUD).await, ingress(&server, &LOUD).await);
    proxy.log_reader(LogReader::Leaves);
    ingress.log_reader(LogReader::Leaves);

    ask_until_lines_are_dropped(&ingress, &ingress, 1).await;
    proxy.signal(Signal::SIGTERM);
    ingress.signal(Signal::SIGTERM);

    assert_eq!((proxy.exit().code(), ingress.exit().code()), (Some(0), Some(0)));
}

/// A full pipe for standard error. The test does not read it.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().expect("a pipe");
    // 16 pages of 4 KiB (pipe(7)).
    writer.write_all(&[b'x'; 64 << 10]).expect("there is room");
    (reader, writer)
}

/// The exit code of a binary whose standard error is that pipe.
fn exit_code(name: &str, environment: [&str; 2], stderr: PipeWriter) -> Option<i32> {
    let mut command = Command::new(binary(name));
    command.env(environment[0], environment[1]).env_remove("RUST_LOG").stderr(stderr);
    let mut child = command.spawn().expect("starts");
    let mut status = None;
    eventually("it ends", || {
        status = child.try_wait().expect("its state is known");
        status.is_some()
    });
    status.and_then(|status| status.code())
}

#[test]
fn a_process_that_cannot_start_ends_though_its_log_is_full() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();

    for (name, environment, code) in [
        ("ingress", ["REQUEST_TIMEOUT", "0s"], 64),
        ("proxy", ["REQUEST_TIMEOUT", "0s"], 64),
        ("ingress", ["INGRESS_LISTEN", &address], 1),
        ("proxy", ["PROXY_LISTEN", &address], 1),
    ] {
        let (_reader, full) = full_pipe();
        assert_eq!(exit_code(name, environment, full), Some(code), "{name}, full");

        let (reader, closed) = pipe().expect("a pipe");
        drop(reader);
        assert_eq!(exit_code(name, environment, closed), Some(code), "{name}, closed");
    }
}
