//! Backups, made and restored as docs/OPERATIONS.md says.

use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use streamgate::testing::{Link, RedisServer, eventually, eventually_async};

use crate::harness::{
    EVERYSEC, Process, ask, ask_many, client, everything_is_settled, had_a_worker, ingress, metric, pending,
    proxy,
};

const DEAD_LETTERS: &str = "{weather-requests}:dlq";

/// Files by their path below the server's folder.
type Backup = Vec<(PathBuf, Vec<u8>)>;

/// While it rewrites nothing, a server only appends to its files: a copy is a state it had.
fn copy_of_the_append_only_files(server: &RedisServer) -> Backup {
    server.command::<()>(&["CONFIG", "SET", "auto-aof-rewrite-percentage", "0"]);
    no_rewrite_is_under_way(server);
    let backup = files_in(server.folder(), "appendonlydir");
    server.command::<()>(&["CONFIG", "SET", "auto-aof-rewrite-percentage", "100"]);
    backup
}

fn snapshot(server: &RedisServer) -> Backup {
    server.command::<()>(&["BGSAVE"]);
    eventually("it is saved", || {
        let info: String = server.command(&["INFO", "persistence"]);
        info.contains("rdb_bgsave_in_progress:0") && info.contains("rdb_last_bgsave_status:ok")
    });
    vec![("dump.rdb".into(), std::fs::read(server.folder().join("dump.rdb")).expect("it is there"))]
}

fn no_rewrite_is_under_way(server: &RedisServer) {
    eventually("no rewrite is under way", || {
        let info: String = server.command(&["INFO", "persistence"]);
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
    });
}

fn files_in(folder: &Path, name: &str) -> Backup {
    let files = std::fs::read_dir(folder.join(name)).expect("a folder");
    let files = files.map(|file| file.expect("an entry").path());
    files.map(|file| (relative(&file, folder), std::fs::read(&file).expect("readable"))).collect()
}

fn relative(file: &Path, folder: &Path) -> PathBuf {
    file.strip_prefix(folder).expect("inside").to_owned()
}

/// A new server that starts on a backup alone.
fn start_on(options: &[&str], backup: &Backup) -> RedisServer {
    RedisServer::start_on(options, |folder| {
        for (name, content) in backup {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            std::fs::write(file, content).expect("written");
        }
    })
}

/// An append-only file with what is in a snapshot, made by a server that does nothing else.
fn as_append_only_files(snapshot: &Backup) -> Backup {
    let converter = start_on(&["--save", "", "--appendonly", "no"], snapshot);
    converter.command::<()>(&["CONFIG", "SET", "appendonly", "yes"]);
    no_rewrite_is_under_way(&converter);
    assert!(converter.command::<String>(&["INFO", "persistence"]).contains("aof_last_bgrewrite_status:ok"));
    files_in(converter.folder(), "appendonlydir")
}

/// What must be the same after a restore.
fn state(server: &RedisServer) -> Vec<redis::Value> {
    let pending: Vec<(String, String, u64, u64)> =
        server.command(&["XPENDING", "weather-requests", "weather-workers", "-", "+", "100"]);
    let pending =
        pending.into_iter().map(|(id, consumer, _, deliveries)| format!("{id} {consumer} {deliveries}"));
    let mut state = vec![redis::Value::Array(pending.map(redis::Value::SimpleString).collect())];
    let groups: Vec<Vec<redis::Value>> = server.command(&["XINFO", "GROUPS", "weather-requests"]);
    // Name, consumers, pending, last id: an append-only file of Redis 7.0 does not keep what lag is made of.
    state.extend(groups.into_iter().flat_map(|group| group.into_iter().take(8)));
    for stream in ["weather-requests", "weather-responses", DEAD_LETTERS] {
        state.push(server.command(&["XRANGE", stream, "-", "+"]));
    }
    state
}

/// A gateway on a link that can be led to another server.
async fn gateway(server: &RedisServer, link: &Link, timeout: &str) -> Process {
    had_a_worker(server);
    ingress(server, &[("REDIS_URL", &link.url()), ("REQUEST_TIMEOUT", timeout)]).await
}

/// A worker that takes `slots` requests and finishes none of them in time.
async fn slow_worker(server: &RedisServer, slots: &str) -> Process {
    let slow = [("WORKER_CONCURRENCY", slots), ("SIMULATED_LATENCY", "9s"), ("CLAIM_MIN_IDLE", "9s")];
    proxy(server, "slow", &slow).await
}

fn length(server: &RedisServer, stream: &str) -> u64 {
    server.command(&["XLEN", stream])
}

async fn give_up_a_dead_letter(server: &RedisServer) {
    server.command::<()>(&["XADD", "weather-requests", "*", "what", "is this"]);
    eventually_async("it is a dead letter", async || length(server, DEAD_LETTERS) == 1).await;
}

/// Waits until `stored` requests are on the stream and `taken` of them are pending, then kills the worker.
async fn is_caught(server: &RedisServer, worker: &Process, stored: u64, taken: u64) {
    eventually_async("the worker is full", async || {
        length(server, "weather-requests") == stored && pending(server) == taken
    })
    .await;
    worker.signal(Signal::SIGKILL);
}

async fn is_continued_on_a_new_disk(backup: fn(&RedisServer) -> Backup, restore: fn(&Backup) -> Backup) {
    let server = RedisServer::start_with(&EVERYSEC);
    let (link, client) = (Link::to(&server), client());
    let ingress = gateway(&server, &link, "30s").await;
    let worker = slow_worker(&server, "4").await;
    give_up_a_dead_letter(&server).await;
    let cities: Vec<String> = (0..20).map(|n| format!("City {n}")).collect();

    let answers = join_all(cities.iter().map(|city| ask(&client, &ingress, city)));
    let (answers, (restored, survivor)) = tokio::join!(answers, async {
        is_caught(&server, &worker, 21, 4).await;
        let (backup, before) = (backup(&server), state(&server));
        drop(server);
        let restored = start_on(&EVERYSEC, &restore(&backup));
        assert_eq!(state(&restored), before);
        link.point_to(&restored);
        let survivor = proxy(&restored, "survivor", &[]).await;
        (restored, survivor)
    });

    for (city, (status, forecast)) in cities.iter().zip(answers) {
        assert_eq!((status, forecast["city"].as_str()), (200, Some(city.as_str())), "{forecast}");
    }
    everything_is_settled(&restored).await;
    assert_eq!(length(&restored, DEAD_LETTERS), 1, "nothing was given up on the way");
    assert!(metric(&survivor, "streamgate_claims_total").await >= 4.0, "what was pending was taken over");
    ask_many(&ingress, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_append_only_files_is_continued_where_it_ended() {
    is_continued_on_a_new_disk(copy_of_the_append_only_files, Backup::clone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_made_an_append_only_file_goes_on_where_it_ended() {
    is_continued_on_a_new_disk(snapshot, as_append_only_files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_append_only_file_starts_empty_beside_a_snapshot() {
    let server = RedisServer::start_with(&EVERYSEC);
    server.command::<()>(&["XADD", "weather-requests", "*", "id", "1"]);
    let backup = snapshot(&server);

    let restored = start_on(&EVERYSEC, &backup);

    assert_eq!(restored.command::<u64>(&["DBSIZE"]), 0, "docs/OPERATIONS.md warns of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_backup_brings_back_is_not_executed_again() {
    let server = RedisServer::start_with(&EVERYSEC);
    let (link, client) = (Link::to(&server), client());
    let ingress = gateway(&server, &link, "2s").await;
    let first = proxy(&server, "first", &[]).await;
    ask_many(&ingress, 5).await;
    give_up_a_dead_letter(&server).await;
    first.signal(Signal::SIGKILL);
    let worker = slow_worker(&server, "2").await;
    let (answers, backup) = tokio::join!(join_all((0..6).map(|_| ask(&client, &ingress, "Oslo"))), async {
        is_caught(&server, &worker, 12, 2).await;
        copy_of_the_append_only_files(&server)
    });
    assert!(answers.iter().all(|(status, _)| *status == 504), "{answers:?}");
    // After the backup, more callers get answers, and an operator deletes the dead letters.
    let second = proxy(&server, "second", &[]).await;
    is_served(&client, &ingress).await;
    server.command::<()>(&["DEL", DEAD_LETTERS]);
    second.signal(Signal::SIGKILL);
    let latest = last_id(&server);

    drop(server);
    let restored = start_on(&EVERYSEC, &backup);
    link.point_to(&restored);
    let survivor = proxy(&restored, "survivor", &[]).await;
    everything_is_settled(&restored).await;

    assert!(
        metric(&survivor, "streamgate_handler_duration_seconds_count").await < 1.0,
        "nothing is done again"
    );
    assert!((metric(&survivor, "streamgate_expired_total").await - 6.0).abs() < f64::EPSILON);
    assert_eq!(length(&restored, DEAD_LETTERS), 1, "it is there again");
    is_served(&client, &ingress).await;
    assert!(last_id(&restored) > latest, "ids go on where the lost server's ended");
}

/// Waits until callers are answered, after what made the gateway careful, and asks a few times.
async fn is_served(client: &reqwest::Client, ingress: &Process) {
    eventually_async("callers are served", async || ask(client, ingress, "Oslo").await.0 == 200).await;
    for city in ["Rome", "Lima", "Cairo"] {
        let (status, forecast) = ask(client, ingress, city).await;
        assert_eq!((status, forecast["city"].as_str()), (200, Some(city)), "{forecast}");
    }
}

fn last_id(server: &RedisServer) -> (u64, u64) {
    let last: Vec<(String, redis::Value)> =
        server.command(&["XREVRANGE", "weather-requests", "+", "-", "COUNT", "1"]);
    let (ms, sequence) = last[0].0.split_once('-').expect("an entry id");
    (ms.parse().expect("a number"), sequence.parse().expect("a number"))
}
