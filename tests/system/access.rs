//! What the users of Redis may do, as docs/OPERATIONS.md gives it, is enough and is what it says.

use nix::sys::signal::Signal;
use streamgate::testing::{RedisServer, eventually, eventually_async};

use crate::harness::{Process, ask_many, client, ingress, ingress_unready, proxy, proxy_unready};

const OPERATIONS: &str = include_str!("../../docs/OPERATIONS.md");

const TOKEN: &str = "a-token-for-the-tests-of-access-control";

/// The rules that the page gives to `user`, as words.
fn documented(user: &str) -> Vec<String> {
    let start = format!("redis-cli ACL SETUSER {user} ");
    let line = OPERATIONS.lines().find(|line| line.starts_with(&start)).expect("the page has the user");
    let words = line.trim_start_matches("redis-cli ").split(' ');
    words.map(|word| word.trim_matches('\'').to_owned()).collect()
}

fn grant(server: &RedisServer, words: &[String]) {
    server.command::<()>(&words.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The server's URL for `user`.
fn url(server: &RedisServer, user: &str) -> String {
    format!("unix://{}?user={user}&pass=SECRET", server.socket().display())
}

/// Ends both and looks whether anything was denied to them.
fn end_undenied(processes: [Process; 2]) {
    for mut process in processes {
        process.signal(Signal::SIGTERM);
        assert!(process.exit().success(), "{}", process.log());
        let log = process.log();
        for word in ["NOPERM", "may not run", "no permissions", "ACL failure"] {
            assert!(!log.contains(word), "{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_users_may_do_all_that_is_needed() {
    let server = RedisServer::start();
    for user in ["ingress", "proxy", "exporter"] {
        grant(&server, &documented(user));
    }
    let (for_ingress, for_proxy) = (url(&server, "ingress"), url(&server, "proxy"));
    let of_proxy =
        [("REDIS_URL", for_proxy.as_str()), ("ADMIN_TOKEN", TOKEN), ("HOUSEKEEPING_PERIOD", "200ms")];
    let proxy = proxy(&server, "w1", &of_proxy).await;
    let of_ingress = [("REDIS_URL", for_ingress.as_str()), ("INGRESS_REPLICA", "a")];
    let ingress = ingress(&server, &of_ingress).await;

    ask_many(&ingress, 50).await;
    // A dead letter is made, shown and replayed; the stream is looked at.
    let _: String = server.command(&["XADD", "weather-requests", "*", "no", "request"]);
    let client = client();
    let get = async |path: &str| {
        let answer = client.get(proxy.url(0, path)).bearer_auth(TOKEN).send().await.expect("answered");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    eventually_async("it is a dead letter", async || {
        get("/dead-letters").await.1.contains("dlq_reason") || {
            server.command::<i64>(&["XLEN", "{weather-requests}:dlq"]) == 1
        }
    })
    .await;
    let letters: Vec<(String, redis::Value)> =
        server.command(&["XRANGE", "{weather-requests}:dlq", "-", "+"]);
    let replay = proxy.url(0, &format!("/dead-letters/{}/replay", letters[0].0));
    let replayed = client.post(replay).bearer_auth(TOKEN).send().await.expect("answered");
    assert_ne!(replayed.status().as_u16(), 500, "{:?}", replayed.text().await);
    for path in ["/dead-letters", "/streams/weather-requests", "/metrics", "/readyz"] {
        assert_eq!(get(path).await.0, 200, "{path}");
    }
    let mut exporter = redis::Client::open(url(&server, "exporter"))
        .and_then(|client| client.get_connection())
        .expect("connected");
    for words in [
        &["PING"][..],
        &["INFO"],
        &["SLOWLOG", "GET"],
        &["LATENCY", "LATEST"],
        &["CONFIG", "GET", "maxmemory"],
    ] {
        let mut cmd = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            cmd.arg(*word);
        });
        cmd.query::<redis::Value>(&mut exporter).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }
    // The exporter's user must not read the keys of other applications.
    let denied = redis::cmd("GET").arg("x").query::<redis::Value>(&mut exporter);
    assert!(denied.is_err(), "{denied:?}");

    end_undenied([ingress, proxy]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_dangerous_commands_is_good_enough() {
    let server = RedisServer::start();
    grant(
        &server,
        &"ACL SETUSER safe on >SECRET ~* +@all -@dangerous".split(' ').map(str::to_owned).collect::<Vec<_>>(),
    );
    let url = url(&server, "safe");
    let environment = [("REDIS_URL", url.as_str()), ("HOUSEKEEPING_PERIOD", "200ms")];
    let (mut proxy, mut ingress) =
        (proxy(&server, "w1", &environment).await, ingress(&server, &environment).await);

    ask_many(&ingress, 50).await;

    for process in [&mut proxy, &mut ingress] {
        eventually("it says once what it does without", || process.log().contains("does without it"));
        process.signal(Signal::SIGTERM);
        assert!(process.exit().success(), "{}", process.log());
        let log = process.log();
        assert!(!log.contains("NOPERM \""), "a denial that does not say of what: {log}");
        assert_eq!(log.matches("\"command\":\"info\"").count(), 1, "{log}");
    }
}

/// What a process can do without; the rest of what the page grants it is needed.
const OPTIONAL: [&str; 9] = [
    "hello",
    "ping",
    "select",
    "client|id",
    "client|unblock",
    "info",
    "memory|usage",
    // Administration of dead letters, answered with what is lacking.
    "xrevrange",
    "xdel",
];

/// Takes one command after the other from what the page gives to `user`: the process says what it lacks and
/// is not ready.
async fn says_what_it_lacks(
    user: &str,
    also_needed: &[&str],
    start: impl Fn(&RedisServer, &str) -> (Process, String),
) {
    let rules = documented(user);
    let granted = rules.iter().filter_map(|rule| rule.strip_prefix('+'));
    let needed = granted.filter(|command| also_needed.contains(command) || !OPTIONAL.contains(command));
    for command in needed {
        let server = RedisServer::start();
        let mut fewer = rules.clone();
        fewer.push(format!("-{command}"));
        grant(&server, &fewer);
        let (process, readiness) = start(&server, &url(&server, user));
        let category = match command {
            "expire" => "@keyspace",
            "eval" | "evalsha" => "@scripting",
            "time" => "@fast",
            _ => "@stream",
        };

        eventually(&format!("{user} says that it lacks {command}"), || {
            let log = process.log();
            let mut lines = log.lines();
            lines.any(|line| {
                line.contains(&format!("\"command\":\"{command}"))
                    && line.contains(&format!("\"{category}\""))
            })
        });
        let ready = client().get(readiness).send().await.expect("answered");
        assert_eq!(ready.status().as_u16(), 503, "{user} without {command}");
        assert!(ready.text().await.expect("text").contains("permissions"), "{user} without {command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_may_not_do_its_work_says_what_it_lacks() {
    // Requests are taken back with it.
    let also_needed = ["xdel"];
    says_what_it_lacks("ingress", &also_needed, |server, url| {
        let process = ingress_unready(server, &[("REDIS_URL", url)]);
        let readiness = process.url(0, "/readyz");
        (process, readiness)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_not_do_its_work_says_what_it_lacks() {
    says_what_it_lacks("proxy", &[], |server, url| {
        let process = proxy_unready(server, "w1", &[("REDIS_URL", url)]);
        let readiness = process.url(0, "/readyz");
        (process, readiness)
    })
    .await;
}
