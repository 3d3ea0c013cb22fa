//! Runs the real binary: `ingress new-key`, and a start with an invalid API_KEYS_FILE.

use std::process::{Command, Output};

use ingress::api_keys::file;
use service::api_key::KeyHash;

fn ingress(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingress"));
    command.env_clear().envs(variables.iter().copied()).args(args);
    command.output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn a_new_key_is_printed_with_a_valid_line_for_the_file() {
    let args = ["new-key", "shop", "--rate", "50", "--burst", "100"];

    let made = ingress(&args, &[("API_KEYS_FILE", "/nowhere/keys")]);

    let (line, printed) = (text(&made.stdout), text(&made.stderr));
    assert_eq!(made.status.code(), Some(0), "{printed}");
    let key = printed.lines().find(|line| line.starts_with("sgk_")).expect("a key");
    assert_eq!(line, format!("shop:{}:50:100\n", KeyHash::of(key.as_bytes())));
    assert_eq!(file::parse(line.as_bytes()).expect("valid").len(), 1);
}

#[test]
fn an_error_of_new_key_names_the_broken_rule() {
    for (args, expected) in [
        (&[][..], "NAME is missing in `ingress new-key NAME`: Name of the key in metrics and logs, 1 to 64"),
        (&["a b"], "<NAME> must have a name of 1 to 64 characters of A-Z a-z 0-9 . _ -"),
        (&["a", "--rate", "0"], "--rate=0 must be a rate of 1 to 1000000 requests a second"),
        (&["a", "--burst", "5"], "--burst=5 needs a --rate"),
        (
            &["a", "--rate", "50", "--burst", "49"],
            "--burst=49 must have a burst of at least the requests of one second",
        ),
    ] {
        let refused = ingress(&[&["new-key"], args].concat(), &[]);

        let printed = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(64), "{args:?}: {printed}");
        assert!(printed.starts_with(&format!("invalid configuration: {expected}")), "{args:?}: {printed}");
        assert!(refused.stdout.is_empty() && printed.lines().count() == 1, "{printed}");
    }
}

#[test]
fn a_start_with_a_bad_file_exits_with_64() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    std::fs::write(path("broken"), "# keys\nshop:hunter2\n").expect("written");
    std::fs::write(path("empty"), "# none\n").expect("written");

    for (name, rule) in [
        ("missing", "must be a file that can be read: No such file or directory"),
        ("", "must be a regular file"),
        ("empty", "must hold at least one key"),
        ("broken", "line 2 must have a hash of 64 hexadecimal digits"),
    ] {
        let refused = ingress(&[], &[("API_KEYS_FILE", &path(name))]);

        let printed = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(64), "{name}: {printed}");
        let expected = format!("invalid configuration: API_KEYS_FILE={} {rule}", path(name));
        assert!(printed.starts_with(&expected) && printed.lines().count() == 1, "{name}: {printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

#[test]
fn the_help_names_the_commands() {
    let help = text(&ingress(&["--help"], &[]).stdout);

    assert!(help.starts_with("Takes HTTP requests, puts them on a Redis stream"), "{help}");
    assert!(help.contains("new-key") && help.contains("[env: API_KEYS_FILE"), "{help}");
}
