//! Trouble of the Redis server itself.

use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::Arena;

const SERVER: &str = "redis";

pub(super) async fn kill_clients(arena: &Arena, lasts: Duration) -> anyhow::Result<String> {
    let (until, mut killed) = (Instant::now() + lasts, 0);
    while Instant::now() < until {
        killed += kill_all_clients(arena).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(format!("{killed} connections"))
}

/// Kills all connections except this one and MONITOR, which records the run.
async fn kill_all_clients(arena: &Arena) -> anyhow::Result<usize> {
    let mut connection = arena.cluster.control().connect().await?;
    let me: u64 = redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await?;
    let clients: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut connection).await?;
    let mut killed = 0;
    for client in clients.lines() {
        let field = |name: &str| client.split(' ').find_map(|field| field.strip_prefix(name)).unwrap_or("");
        if field("flags=").contains('O') || field("id=") == me.to_string() {
            continue;
        }
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("ID").arg(field("id="));
        killed += kill.query_async(&mut connection).await.unwrap_or(0usize);
    }
    Ok(killed)
}

pub(super) async fn stop(arena: &Arena, lasts: Duration) -> anyhow::Result<String> {
    arena.cluster.redis(|server| server.pause()).await?;
    tokio::time::sleep(lasts).await;
    arena.cluster.redis(|server| server.resume()).await?;
    Ok(SERVER.to_owned())
}

pub(super) async fn pause_clients(arena: &Arena, lasts: Duration) -> anyhow::Result<String> {
    let mut pause = redis::cmd("CLIENT");
    arena.cluster.control().run::<()>(pause.arg("PAUSE").arg(lasts.as_millis() as u64)).await?;
    tokio::time::sleep(lasts).await;
    Ok(SERVER.to_owned())
}

pub(super) async fn out_of_memory(arena: &Arena, lasts: Duration) -> anyhow::Result<String> {
    let control = arena.cluster.control();
    control.insist(&["CONFIG", "SET", "maxmemory", "1"]).await?;
    tokio::time::sleep(lasts).await;
    control.insist(&["CONFIG", "SET", "maxmemory", "0"]).await?;
    Ok(SERVER.to_owned())
}

/// A background save that was killed makes a server with a save point refuse writes.
pub(super) async fn misconf(arena: &Arena, lasts: Duration) -> anyhow::Result<String> {
    let control = arena.cluster.control();
    control.insist(&["CONFIG", "SET", "save", "3600 1000000", "rdb-key-save-delay", "10000000"]).await?;
    let killed = kill_a_save(arena).await;
    if killed.is_ok() {
        tokio::time::sleep(lasts).await;
    }
    control.insist(&["CONFIG", "SET", "save", "", "rdb-key-save-delay", "0"]).await?;
    killed.map(|()| SERVER.to_owned())
}

async fn kill_a_save(arena: &Arena) -> anyhow::Result<()> {
    arena.cluster.control().run::<redis::Value>(&redis::cmd("BGSAVE")).await?;
    let server = arena.cluster.redis(|server| server.pid()).await?.context("Redis is down")?;
    let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children"))?;
    let child = children.split_whitespace().next().context("the save has no process")?;
    send(Pid::from_raw(child.parse()?), Signal::SIGKILL)?;
    Ok(())
}

/// No server listens on the port of the new primary, so Redis synchronises nothing and loses nothing.
pub(super) async fn read_only(arena: &Arena, lasts: Duration) -> anyhow::Result<String> {
    let control = arena.cluster.control();
    control.insist(&["REPLICAOF", "127.0.0.1", "1"]).await?;
    tokio::time::sleep(lasts).await;
    control.insist(&["REPLICAOF", "NO", "ONE"]).await?;
    Ok(SERVER.to_owned())
}

/// Commands that a gateway or a worker needs.
const NEEDED: [&str; 7] = ["xadd", "xread", "xreadgroup", "xack", "xclaim", "xautoclaim", "evalsha"];

pub(super) async fn deny(arena: &Arena, target: usize, lasts: Duration) -> anyhow::Result<String> {
    let command = NEEDED[target % NEEDED.len()];
    let control = arena.cluster.control();
    control.insist(&["ACL", "SETUSER", "default", &format!("-{command}")]).await?;
    tokio::time::sleep(lasts).await;
    control.insist(&["ACL", "SETUSER", "default", "+@all"]).await?;
    Ok(command.to_owned())
}

pub(super) async fn kill(arena: &Arena, lasts: Duration) -> anyhow::Result<String> {
    arena.cluster.redis(|server| server.kill()).await?;
    tokio::time::sleep(lasts).await;
    arena.cluster.redis(|server| server.restart()).await?;
    Ok(SERVER.to_owned())
}
