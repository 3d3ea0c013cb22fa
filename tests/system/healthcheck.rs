//! `ingress healthcheck` and `proxy healthcheck`, as a container engine calls them.

use std::process::{Command, Output};

use streamgate::testing::{RedisServer, eventually};

use crate::harness::{binary, ingress, proxy};

/// Asks the process of that name which listens, by the given setting, at `address`.
fn healthcheck(name: &str, setting: &str, address: &str, flags: &[&str]) -> Output {
    let mut command = Command::new(binary(name));
    command.arg("healthcheck").args(flags).env(setting, address).env_remove("RUST_LOG");
    command.output().unwrap_or_else(|error| panic!("{name} does not start: {error}"))
}

#[tokio::test]
async fn healthcheck_tells_a_live_process_from_a_ready_one() {
    let server = RedisServer::start();
    let (proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &[]).await);
    let processes = [
        ("ingress", "INGRESS_ADMIN_LISTEN", ingress.address(1).to_owned()),
        ("proxy", "PROXY_LISTEN", proxy.address(0).to_owned()),
    ];
    for (name, setting, address) in &processes {
        assert_eq!(healthcheck(name, setting, address, &["--ready"]).status.code(), Some(0), "{name}");
    }

    drop(server);

    for (name, setting, address) in &processes {
        eventually("it is not ready, and says why", || {
            let asked = healthcheck(name, setting, address, &["--ready"]);
            let said = String::from_utf8_lossy(&asked.stderr);
            asked.status.code() == Some(1) && said.contains("not healthy: not ready: redis")
        });
        assert_eq!(healthcheck(name, setting, address, &[]).status.code(), Some(0), "{name} lives");
    }
}

#[test]
fn if_no_process_listens_the_exit_code_is_1_with_the_address() {
    for (name, setting) in [("ingress", "INGRESS_ADMIN_LISTEN"), ("proxy", "PROXY_LISTEN")] {
        let asked = healthcheck(name, setting, "127.0.0.1:1", &[]);

        let said = String::from_utf8_lossy(&asked.stderr);
        assert_eq!(asked.status.code(), Some(1), "{said}");
        assert!(said.contains("http://127.0.0.1:1/livez does not answer"), "{said}");
    }
}
