//! Trouble between one process and Redis.

use std::sync::Arc;
use std::time::Duration;

use streamgate::testing::RedisServer;

use super::Arena;
use crate::cluster::Place;
use crate::setup::PASSWORD;

fn choose(arena: &Arena, target: usize) -> Arc<Place> {
    let places = arena.cluster.places();
    Arc::clone(&places[target % places.len()])
}

pub(super) async fn hold(arena: &Arena, target: usize, lasts: Duration) -> anyhow::Result<String> {
    let place = choose(arena, target);
    place.link().hold();
    tokio::time::sleep(lasts).await;
    place.link().flow();
    Ok(place.name().to_owned())
}

pub(super) async fn delay(arena: &Arena, target: usize, lasts: Duration) -> anyhow::Result<String> {
    let place = choose(arena, target);
    place.link().delay(Duration::from_millis(20 + target as u64));
    tokio::time::sleep(lasts).await;
    place.link().flow();
    Ok(place.name().to_owned())
}

pub(super) async fn cut(arena: &Arena, target: usize) -> anyhow::Result<String> {
    let place = choose(arena, target);
    place.link().cut();
    Ok(place.name().to_owned())
}

/// The first bytes of each answer still pass: some commands are known to be executed, some are not.
pub(super) async fn cut_replies(arena: &Arena, target: usize, lasts: Duration) -> anyhow::Result<String> {
    let place = choose(arena, target);
    place.link().cut_replies_after(target * 20);
    tokio::time::sleep(lasts).await;
    place.link().flow();
    Ok(place.name().to_owned())
}

/// The process has to follow to the other server with all its connections, and back.
pub(super) async fn lead_elsewhere(arena: &Arena, target: usize, lasts: Duration) -> anyhow::Result<String> {
    let place = choose(arena, target);
    let options = ["--save", "", "--requirepass", PASSWORD];
    let elsewhere = tokio::task::spawn_blocking(move || RedisServer::start_with(&options)).await?;
    place.link().point_to(&elsewhere);
    place.link().cut();
    tokio::time::sleep(lasts).await;
    let back = Arc::clone(&place);
    arena.cluster.redis(move |server| back.link().point_to(server)).await?;
    place.link().cut();
    Ok(place.name().to_owned())
}
