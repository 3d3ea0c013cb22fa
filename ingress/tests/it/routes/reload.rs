//! Changes of the file while requests run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use reqwest::Method;
use streamgate::testing::{RedisServer, eventually_async};

use super::fixture::{Echo, RoutesFile, route, stored_on};
use crate::harness::{Ingress, send};

/// The version that `/readyz` tells.
async fn version(ingress: &Ingress) -> String {
    let text = ingress.get("/readyz").await.text;
    text.lines().find_map(|line| line.strip_prefix("routes ")).expect("a version").to_owned()
}

async fn status(ingress: &Ingress, path: &str) -> u16 {
    send(ingress.request(Method::POST, path).body("x")).await.status
}

#[tokio::test]
async fn a_reload_under_load_loses_no_request() {
    let server = RedisServer::start();
    let stays = route("stays", "POST", "/stays", "one", "");
    let comes = route("comes", "POST", "/comes", "two", "timeout: 5m");
    let file = RoutesFile::with(&format!("routes:\n{stays}"));
    let _one = Echo::on(&server, "one").await;
    let ingress = file.serve(&server, &[]).await;
    let _two = Echo::on(&server, "two").await;
    let (ends, before) = (Arc::new(AtomicBool::new(false)), version(&ingress).await);
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (ends, request) = (Arc::clone(&ends), ingress.request(Method::POST, "/stays").body("x"));
            tokio::spawn(async move {
                let mut answered = 0;
                while !ends.load(Ordering::Relaxed) {
                    let answer = send(request.try_clone().expect("a body in memory")).await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    answered += 1;
                }
                answered
            })
        })
        .collect();

    for _ in 0..2 {
        file.write(&format!("routes:\n{stays}{comes}"));
        let first = AtomicU16::new(404);
        eventually_async("the new route is served", || async {
            first.store(status(&ingress, "/comes").await, Ordering::Relaxed);
            first.load(Ordering::Relaxed) != 404
        })
        .await;
        assert_eq!(first.load(Ordering::Relaxed), 200, "the first request of the new stream is served");
        assert_ne!(version(&ingress).await, before);
        file.write(&format!("routes:\n{stays}"));
        eventually_async("the route is gone", || async { status(&ingress, "/comes").await == 404 }).await;
    }
    assert_eq!(version(&ingress).await, before, "the same file has the same version");

    ends.store(true, Ordering::Relaxed);
    for caller in load {
        assert!(caller.await.expect("no request was lost") > 0);
    }
    let metrics = ingress.get_admin("/metrics").await.text;
    assert!(metrics.contains("routes_reloads_total 4"), "{metrics}");
    assert!(metrics.contains(&format!("routes_version{{version=\"{before}\"}} 1")), "{metrics}");
    let in_force = metrics.lines().filter(|line| line.starts_with("routes_version{") && line.ends_with(" 1"));
    assert_eq!(in_force.count(), 1, "{metrics}");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_counted() {
    let server = RedisServer::start();
    let good = format!("routes:\n{}", route("a", "POST", "/a", "a", ""));
    let file = RoutesFile::with(&good);
    let _echo = Echo::on(&server, "a").await;
    let ingress = file.serve(&server, &[]).await;
    let before = version(&ingress).await;
    let failures = async || {
        let metrics = ingress.get_admin("/metrics").await.text;
        let line = metrics.lines().find(|line| line.starts_with("routes_reload_failures_total "));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).expect("a count")
    };

    for bad in [
        "routes: [",
        &good.replace("/a", "a"),
        &good.replace("handler", "handlr"),
        &format!("{good}    auth: api-key\n"),
    ] {
        let counted = failures().await;
        file.write(bad);
        eventually_async("the fault is counted", || async { failures().await > counted }).await;
        assert_eq!(status(&ingress, "/a").await, 200, "{bad}");
        assert_eq!(version(&ingress).await, before, "{bad}");
    }

    file.write(&format!("{good}{}", route("b", "POST", "/b", "a", "")));
    eventually_async("a good file holds again", || async { status(&ingress, "/b").await == 200 }).await;
}

#[tokio::test]
async fn a_request_of_a_route_that_goes_gets_its_answer() {
    let server = RedisServer::start();
    let (goes, stays) =
        (route("goes", "POST", "/goes", "one", ""), route("stays", "POST", "/stays", "two", ""));
    let file = RoutesFile::with(&format!("routes:\n{goes}{stays}"));
    let one = Echo::holding(&server, "one").await;
    let ingress = file.serve(&server, &[]).await;
    let waits = tokio::spawn(send(ingress.request(Method::POST, "/goes").body("x")));
    eventually_async("it is worked on", || async { one.count() == 1 }).await;

    let before = version(&ingress).await;
    file.write(&format!("routes:\n{stays}"));
    eventually_async("the route is gone", || async { version(&ingress).await != before }).await;
    assert_eq!(status(&ingress, "/goes").await, 404);
    one.release();

    assert_eq!(waits.await.expect("joins").status, 200);
    assert_eq!(stored_on(&server, "one"), 1);
}
