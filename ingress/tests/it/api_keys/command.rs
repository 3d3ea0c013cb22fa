//! The real binary: making keys, and a file of them that is wrong at the start.

use std::process::{Command, Output};

use ingress::api_keys::file;
use ingress::api_keys::hash::KeyHash;

fn ingress(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingress"));
    command.env_clear().envs(variables.iter().copied()).args(args);
    command.output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn a_new_key_is_shown_once_and_its_line_makes_the_file() {
    let args = ["new-key", "shop", "--rate", "50", "--burst", "100"];

    let made = ingress(&args, &[("API_KEYS_FILE", "/nowhere/keys")]);

    let (line, said) = (text(&made.stdout), text(&made.stderr));
    assert_eq!(made.status.code(), Some(0), "{said}");
    let key = said.lines().find(|line| line.starts_with("sgk_")).expect("a key");
    assert_eq!(line, format!("shop:{}:50:100\n", KeyHash::of(key.as_bytes())));
    assert_eq!(file::parse(line.as_bytes()).expect("valid").len(), 1);
}

#[test]
fn what_is_wrong_with_a_new_key_is_said_with_its_rule() {
    for (args, expected) in [
        (&[][..], "<NAME> is missing"),
        (&["a b"], "<NAME> must have a name of 1 to 64 characters of A-Z a-z 0-9 . _ -"),
        (&["a", "--rate", "0"], "--rate=0 must be a rate of 1 to 1000000 requests a second"),
        (&["a", "--burst", "5"], "--burst=5 needs a --rate"),
        (
            &["a", "--rate", "50", "--burst", "49"],
            "--burst=49 must have a burst from the requests of one second",
        ),
    ] {
        let refused = ingress(&[&["new-key"], args].concat(), &[]);

        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(64), "{args:?}: {said}");
        assert!(said.starts_with(&format!("invalid configuration: {expected}")), "{args:?}: {said}");
        assert!(refused.stdout.is_empty() && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_bad_file_ends_the_start_with_64_without_its_content() {
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

        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(64), "{name}: {said}");
        let expected = format!("invalid configuration: API_KEYS_FILE={} {rule}", path(name));
        assert!(said.starts_with(&expected) && said.lines().count() == 1, "{name}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn the_help_of_the_gateway_names_its_commands() {
    let help = text(&ingress(&["--help"], &[]).stdout);

    assert!(help.starts_with("HTTP in, request on a Redis stream, reply back out"), "{help}");
    assert!(help.contains("new-key") && help.contains("[env: API_KEYS_FILE"), "{help}");
}
