//! Runs the real binary as an operator does.

use std::net::TcpListener;
use std::process::{Child, Command, Output};

use streamgate::testing::eventually;

const SECRET: &str = "hunter2";
const URL: &str = "redis://alice:hunter2@127.0.0.1:1/0";

#[test]
fn a_bad_setting_is_reported_before_a_port_is_bound() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();

    for (variable, value, expected) in [
        ("REQUEST_TIMEOUT", "0s", "REQUEST_TIMEOUT=0s must be longer than 0"),
        ("REQUEST_TIMEOUT", "soon", "REQUEST_TIMEOUT=soon must be a duration with its unit"),
        ("MAX_IN_FLIGHT", "0", "MAX_IN_FLIGHT=0 must be a whole number from 1 to"),
        ("INGRESS_ADMIN_LISTEN", "nowhere", "INGRESS_ADMIN_LISTEN=nowhere must be an address with a port"),
        ("REPLY_STREAM", "weather-requests", "must be neither REPLY_STREAM=weather-requests nor"),
        ("REDIS_URL", "redis:/alice:hunter2@x", "REDIS_URL=*** must be a URL such as"),
        ("REDIS_URL", "rediss://:hunter2@localhost/#insecure", "REDIS_URL=*** must not end with #insecure"),
        (
            "CORS_ALLOWED_ORIGINS",
            "app.example.org",
            "CORS_ALLOWED_ORIGINS=app.example.org must be * or origins",
        ),
        ("API_KEYS_FILE", "/nowhere", "API_KEYS_FILE=/nowhere must be a file that can be read"),
    ] {
        // If ingress tried to bind this port, it would exit with 1.
        let output = ingress(&[("INGRESS_LISTEN", &address), (variable, value)]).output().expect("runs");

        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(64), "{variable}={value}: {printed}");
        assert!(printed.contains(expected), "{variable}={value}: {printed}");
        assert!(!printed.contains(SECRET), "{printed}");
    }
}

#[test]
fn a_misplaced_or_invalid_secret_is_not_printed() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let misplaced = ingress(&[]).arg(URL).output().expect("runs");
    let no_text = OsStr::from_bytes(b"redis://:hunter2\xff@x");
    let not_utf_8 = ingress(&[]).env("REDIS_URL", no_text).output().expect("runs");

    for (output, expected) in [
        (misplaced, "invalid configuration: an argument is not understood"),
        (not_utf_8, "invalid configuration: REDIS_URL is not text in UTF-8"),
    ] {
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(64), "{printed}");
        assert!(printed.starts_with(expected) && printed.lines().count() == 1, "{printed}");
        assert!(!printed.contains(SECRET), "{printed}");
    }
}

#[test]
fn tls_without_a_trusted_certificate_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("no-certificate.pem");
    std::fs::write(&file, "not a certificate").expect("written");
    let rule = "must lead to trusted certificates, because REDIS_URL uses TLS: ";

    for (variable, value) in [
        ("SSL_CERT_FILE", "/nowhere.pem"),
        ("SSL_CERT_FILE", file.to_str().expect("text")),
        ("SSL_CERT_DIR", folder.path().to_str().expect("text")),
    ] {
        let tls = ("REDIS_URL", "rediss://:hunter2@localhost:6380");
        let output = ingress(&[tls, (variable, value)]).output().expect("runs");

        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(64), "{variable}={value}: {printed}");
        assert!(printed.contains(&format!("{variable}={value} {rule}")), "{printed}");
        assert!(!printed.contains(SECRET), "{printed}");
    }
}

#[test]
fn a_port_in_use_is_named_with_the_variable_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();

    for variable in ["INGRESS_LISTEN", "INGRESS_ADMIN_LISTEN"] {
        let output = ingress(&[(variable, &address)]).output().expect("runs");

        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert_eq!(printed.matches("cannot listen on").count(), 1, "{printed}");
        assert_eq!(printed.matches("in use").count(), 1, "the cause is printed once: {printed}");
        assert!(printed.contains(&format!("cannot listen on {address}")), "{printed}");
        assert!(printed.contains(&format!("set {variable} to another address")), "{printed}");
    }
}

#[test]
fn the_help_does_not_show_the_secrets_of_the_environment() {
    let output = ingress(&[("REDIS_URL", URL)]).arg("--help").output().expect("runs");

    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(0));
    assert!(printed.contains("REDIS_URL") && !printed.contains(SECRET), "{printed}");
}

#[test]
fn it_exits_with_0_on_sigterm_and_logs_no_secret() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let file = std::fs::File::create(&path).expect("a log file");
    let log = || std::fs::read_to_string(&path).expect("a log");
    let mut command = ingress(&[("REDIS_URL", URL), ("RUST_LOG", "trace")]);
    let mut running = Running(command.stderr(file).spawn().expect("starts"));
    eventually("ingress logs that Redis fails", || {
        log().contains("127.0.0.1:1") || log().contains("refused")
    });

    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("runs").success());
    let mut status = None;
    eventually("ingress ends", || {
        status = running.0.try_wait().expect("can be waited for");
        status.is_some()
    });

    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", log());
    assert!(!log().contains(SECRET), "{}", log());
}

/// The binary with only these variables in its environment. It listens on free ports unless the
/// variables name others.
fn ingress(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingress"));
    command.env_clear().env("INGRESS_LISTEN", "127.0.0.1:0").env("INGRESS_ADMIN_LISTEN", "127.0.0.1:0");
    command.envs(variables.iter().copied());
    command
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A process that is killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
