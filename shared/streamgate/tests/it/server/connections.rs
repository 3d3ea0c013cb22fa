//! Connections that Redis refuses or closes.

use std::time::Duration;

use bytes::Bytes;
use streamgate::connection::ConnectionMetrics;
use streamgate::connection::{ErrorKind, Redis, RedisSettings};
use streamgate::fields::Fields;
use streamgate::stream::{AppendError, RedisStream};
use streamgate::telemetry::Readiness;
use streamgate::testing::{RedisServer, eventually_async};

use crate::counts::Counts;

fn open(url: &str, counts: &Counts) -> Redis {
    let metrics = counts.declare(ConnectionMetrics::declare);
    let settings = RedisSettings::new(url.parse().expect("a URL"));
    Redis::open(settings, metrics, Readiness::default().latch("redis")).expect("opens")
}

fn measurements(redis: &Redis) -> RedisStream {
    RedisStream::new(redis, "measurements").expect("a name").patience(Duration::from_secs(20))
}

fn fields() -> Fields {
    Fields::from_iter([("body", Bytes::from_static(b"1"))])
}

#[tokio::test]
async fn a_connection_refused_by_maxclients_is_tried_again() {
    let server = RedisServer::start();
    let (counts, set) = (Counts::default(), |most: &'static str| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxclients").arg(most);
        set
    });
    let redis = open(&server.url(), &counts);
    redis.command(&set("1")).await.expect("set");

    let stream = measurements(&redis);
    let append = tokio::spawn(async move { stream.append(fields()).await });
    let mut info = redis::cmd("INFO");
    info.arg("stats");
    // The writer connects when it starts, and again for the entry.
    eventually_async("two connections are refused", async || {
        let stats = String::from_utf8(text(redis.command(&info).await.expect("answered"))).expect("UTF-8");
        let rejected = stats.lines().find_map(|line| line.strip_prefix("rejected_connections:"));
        rejected.expect("INFO has it").parse::<u32>().expect("a number") >= 2
    })
    .await;
    redis.command(&set("1000")).await.expect("set");

    append.await.expect("no panic").expect("stored in the end");
}

#[tokio::test]
async fn a_closed_connection_is_replaced_before_its_next_use() {
    let server = RedisServer::start();
    let counts = Counts::default();
    let redis = open(&server.url(), &counts);
    let stream = measurements(&redis);
    stream.append(fields()).await.expect("stored");

    let clients: String = server.command(&["CLIENT", "LIST"]);
    let writer =
        clients.lines().find(|client| client.contains("cmd=xadd")).expect("the connection of the writer");
    let id = writer.split(' ').find_map(|field| field.strip_prefix("id=")).expect("an id");
    let _: u64 = server.command(&["CLIENT", "KILL", "ID", id]);
    eventually_async("the connection is gone", async || {
        !server.command::<String>(&["CLIENT", "LIST"]).contains("cmd=xadd")
    })
    .await;
    redis.command(&redis::cmd("PING")).await.expect("answered");
    stream.append(fields()).await.expect("stored");

    let of = |name| counts.of(name);
    assert_eq!(of("streamgate_redis_retries_total"), 0.0);
    assert_eq!(of("streamgate_redis_reconnects_total"), 1.0);
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_not_printed() {
    let server = RedisServer::start();
    let _: () = server.command(&["ACL", "SETUSER", "alice", "on", ">hunter2", "~*", "&*", "+@all"]);
    let url = format!("unix://{}?user=alice&pass=hunter3", server.socket().display());
    let redis = open(&url, &Counts::default());
    let stream = measurements(&redis);

    let error = stream.append(fields()).await.expect_err("denied");

    let denied = matches!(&error, AppendError::Redis(cause) | AppendError::Unconfirmed(cause) if cause.kind() == ErrorKind::Denied);
    assert!(denied, "{error}");
    assert!(!error.to_string().contains("hunter"), "{error}");
}

fn text(value: redis::Value) -> Vec<u8> {
    redis::from_redis_value(value).expect("text")
}
