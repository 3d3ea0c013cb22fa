use streamgate::testing::{RedisServer, eventually_async};

use super::{Keys, ask_as};
use crate::harness::{Ingress, Worker};

async fn metric(ingress: &Ingress, name: &str) -> f64 {
    let scrape = ingress.get_admin("/metrics").await.text;
    let line = scrape.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{scrape}")).parse().expect("a number")
}

#[tokio::test]
async fn keys_are_added_and_revoked_without_a_restart() {
    let (server, keys) = (RedisServer::start(), Keys::new("old:{k1}\nkept:{k2}:1/h"));
    let _worker = Worker::start(&server).await;
    let ingress = keys.ingress(&server).await;
    assert_eq!((ask_as(&ingress, "k1").await.status, ask_as(&ingress, "k3").await.status), (200, 401));
    assert_eq!(ask_as(&ingress, "k2").await.status, 200);

    keys.write("kept:{k2}:1/h\nnew:{k3}");

    eventually_async("the new key is valid", || async { ask_as(&ingress, "k3").await.status == 200 }).await;
    assert_eq!(ask_as(&ingress, "k1").await.status, 401, "revoked");
    assert_eq!(ask_as(&ingress, "k2").await.status, 429, "a reload does not reset the rate limit");
    assert_eq!(metric(&ingress, "api_keys").await, 2.0);
    assert_eq!(metric(&ingress, "api_key_reloads_total").await, 1.0);
}

#[tokio::test]
async fn an_invalid_file_changes_nothing_until_it_is_valid_again() {
    let (server, keys) = (RedisServer::start(), Keys::new("shop:{k1}"));
    let _worker = Worker::start(&server).await;
    let ingress = keys.ingress(&server).await;

    for broken in [&b"shop:not-a-hash\n"[..], b"", b"\xff\n"] {
        let failures = metric(&ingress, "api_key_reload_failures_total").await;
        keys.write_raw(broken);

        eventually_async("the broken file is noticed", || async {
            metric(&ingress, "api_key_reload_failures_total").await > failures
        })
        .await;
        assert_eq!(ask_as(&ingress, "k1").await.status, 200, "{broken:?}");
    }
    std::fs::remove_file(keys.path()).expect("removed");
    let failures = metric(&ingress, "api_key_reload_failures_total").await;
    eventually_async("the missing file is noticed", || async {
        metric(&ingress, "api_key_reload_failures_total").await > failures + 1.0
    })
    .await;
    assert_eq!(ask_as(&ingress, "k1").await.status, 200);
    keys.write("shop:{k2}");

    eventually_async("the valid file takes effect", || async { ask_as(&ingress, "k2").await.status == 200 })
        .await;
    assert_eq!(ask_as(&ingress, "k1").await.status, 401);
    assert_eq!(metric(&ingress, "api_key_reloads_total").await, 1.0);
}

#[tokio::test]
async fn a_mount_that_swaps_symbolic_links_is_followed() {
    let (server, keys) = (RedisServer::start(), Keys::new("old:{k1}"));
    let _worker = Worker::start(&server).await;
    // Kubernetes mounts a Secret like this: keys -> ..data/keys, and ..data -> a folder that it replaces.
    let root = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| root.path().join(name);
    for (folder, lines) in [("v1", "old:{k1}"), ("v2", "new:{k2}")] {
        std::fs::create_dir(path(folder)).expect("made");
        keys.write(lines);
        std::fs::copy(keys.path(), path(folder).join("keys")).expect("copied");
    }
    std::os::unix::fs::symlink("v1", path("..data")).expect("linked");
    std::os::unix::fs::symlink("..data/keys", path("keys")).expect("linked");
    let ingress = Ingress::ready(&server, &["--api-keys-file", path("keys").to_str().expect("text")]).await;
    assert_eq!(ask_as(&ingress, "k1").await.status, 200);

    std::os::unix::fs::symlink("v2", path("..next")).expect("linked");
    std::fs::rename(path("..next"), path("..data")).expect("swapped");

    eventually_async("the new key is valid", || async { ask_as(&ingress, "k2").await.status == 200 }).await;
    assert_eq!(ask_as(&ingress, "k1").await.status, 401);
}
