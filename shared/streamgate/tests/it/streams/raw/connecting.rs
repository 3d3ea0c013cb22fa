//! Connecting: the first answer, and every reason why there is none.

use std::time::Duration;

use streamgate::clock::Clock;
use streamgate::connection::{ConnectError, Redis, RedisBuilder, ServerInfo};
use streamgate::telemetry::Readiness;
use streamgate::testing::{Link, RedisServer, eventually_async};

use crate::harness::server_time_ms;

/// A builder that gives up soon.
fn hasty(url: &str) -> RedisBuilder {
    let soon = Duration::from_millis(100);
    Redis::builder().url(url).response_timeout(soon).connect_timeout(soon)
}

async fn refusal(url: &str) -> ConnectError {
    let long = Duration::from_secs(5);
    let connecting = Redis::builder().url(url).response_timeout(long).connect_timeout(long).connect();
    connecting.await.err().expect("refused")
}

#[tokio::test]
async fn connect_returns_once_the_server_has_answered() {
    let server = RedisServer::start();
    let readiness = Readiness::default();

    let redis = Redis::builder().url(&server.url()).readiness(readiness.latch("redis")).connect();
    let redis = redis.await.expect("connects");

    assert!(readiness.is_ready() && redis.round_trip().is_some());
    // Without a measurement, the offset would be 0 and the clock that of this machine, which is the same here.
    tokio::time::timeout(Duration::ZERO, redis.clock().known()).await.expect("the clock is measured");
    assert!(redis.clock().now_ms().abs_diff(server_time_ms(&server)) < 60_000);
    redis.command(&redis::cmd("PING")).await.expect("answered");
}

#[tokio::test]
async fn connect_has_a_default_for_everything() {
    let server = RedisServer::start();

    let redis = Redis::connect(&server.url()).await.expect("connects");

    redis.command(&redis::cmd("PING")).await.expect("answered");
}

#[tokio::test]
async fn the_server_says_what_it_is_and_how_fast_it_answers() {
    let mut server = RedisServer::start();
    let redis = Redis::connect(&server.url()).await.expect("connects");

    let before = ServerInfo::read(&redis).await.expect("answered");
    redis.ping().await.expect("answered");
    let after = ServerInfo::read(&redis).await.expect("answered");

    assert!(before.version.split('.').count() == 3 && before.clients > 0 && before.memory > 0, "{before:?}");
    assert!(after.commands >= before.commands + 2 && after.uptime < Duration::from_secs(600), "{after:?}");
    server.kill();
    assert!(redis.ping().await.is_err() && ServerInfo::read(&redis).await.is_err());
}

#[tokio::test]
async fn an_address_without_a_server_is_named_without_its_password() {
    let mut server = RedisServer::start_with(&["--save", "", "--requirepass", "hunter2"]);
    let url = server.url();
    server.kill();

    let error = hasty(&url).connect().await.err().expect("nobody answers");

    let text = error.to_string();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{text}");
    assert!(text.contains(&server.socket().display().to_string()) && text.contains("check that"), "{text}");
    assert!(!format!("{text}{error:?}").contains("hunter2"), "{text} {error:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    link.hold();

    let error = hasty(&link.url()).connect().await.err().expect("nobody answers");

    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn connect_waits_for_a_server_that_starts_meanwhile() {
    let mut server = RedisServer::start();
    let url = server.url();
    server.kill();
    let long = Duration::from_secs(20);
    let connecting = Redis::builder().url(&url).response_timeout(long).connect_timeout(long).connect();
    let connecting = tokio::spawn(connecting);
    tokio::task::yield_now().await;

    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    let _server = server.await.expect("starts");

    connecting.await.expect("no panic").map(drop).expect("connects");
}

#[tokio::test]
async fn open_does_not_wait_for_the_server() {
    let mut server = RedisServer::start();
    server.kill();
    let readiness = Readiness::default();

    let redis = Redis::builder().url(&server.url()).readiness(readiness.latch("redis")).open();

    let redis = redis.expect("opens");
    assert!(!readiness.is_ready());
    server.restart();
    eventually_async("the server is reached", async || readiness.is_ready()).await;
    redis.command(&redis::cmd("PING")).await.expect("answered");
}

#[tokio::test]
async fn a_url_or_a_timeout_that_cannot_work_is_refused() {
    for url in ["", "hunter2", "http://hunter2@h", "redis://h/hunter2", "redis://h#hunter2"] {
        let error = refusal(url).await;
        assert!(matches!(error, ConnectError::InvalidUrl { .. }), "{url}: {error}");
        let text = error.to_string();
        assert!(text.contains("must") && !text.contains("hunter2"), "{text}");
    }
    let error = Redis::builder().response_timeout(Duration::ZERO).connect().await.err().expect("refused");
    assert!(error.to_string().contains("response timeout must be more than zero"), "{error}");
}

#[tokio::test]
async fn denied_access_is_an_error_of_its_own() {
    let server = RedisServer::start();
    let _: () = server.command(&["ACL", "SETUSER", "alice", "on", ">hunter2", "~*", "&*", "+@all"]);
    let _: () = server.command(&["ACL", "SETUSER", "bob", "on", ">hunter2", "~*", "+@all", "-time"]);
    let url = |query: &str| format!("unix://{}?{query}", server.socket().display());

    let denied = refusal(&url("user=alice&pass=hunter3")).await;
    let without_time = refusal(&url("user=bob&pass=hunter2")).await;

    assert!(matches!(denied, ConnectError::Denied { .. }), "{denied}");
    assert!(matches!(without_time, ConnectError::NotPermitted { .. }), "{without_time}");
    for text in [denied.to_string(), without_time.to_string()] {
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[tokio::test]
async fn a_failed_connect_leaves_no_connection_behind() {
    let server = RedisServer::start();
    let _: () = server.command(&["ACL", "SETUSER", "bob", "on", ">secret", "~*", "+@all", "-time"]);
    let url = format!("unix://{}?user=bob&pass=secret", server.socket().display());

    refusal(&url).await;

    eventually_async("all connections are closed", async || {
        !server.command::<String>(&["CLIENT", "LIST"]).contains("user=bob")
    })
    .await;
}

#[tokio::test]
async fn an_absent_database_and_a_replica_are_refused() {
    let (server, replica) = (RedisServer::start(), RedisServer::start());
    replica.follow(&server);

    let absent = refusal(&format!("{}?db=99", server.url())).await;
    let not_primary = hasty(&replica.url()).connect().await.err().expect("refused");

    assert!(matches!(absent, ConnectError::Refused { .. }), "{absent:?}");
    assert!(absent.to_string().contains("check the database"), "{absent}");
    assert!(matches!(not_primary, ConnectError::NotPrimary { .. }), "{not_primary:?}");
}
