//! What the program refuses before it starts anything.

use std::path::Path;

use stack::clean;

/// The last line of what the program says, which ends with 64.
fn refusal(words: &[&str], settings: &[(&str, &str)]) -> String {
    let mut command = clean(Path::new(env!("CARGO_BIN_EXE_events")));
    let ended = command.args(words).envs(settings.iter().copied()).output().expect("it starts");
    let said = String::from_utf8(ended.stderr).expect("text");
    assert_eq!(ended.status.code(), Some(64), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_bad_setting_is_named_and_ends_with_64() {
    let off = ("EVENTS_AUTH", "off");
    for (words, settings, expected) in [
        (&["api"][..], &[][..], "EVENTS_AUTH=on needs the keys"),
        (&["api"], &[("EVENTS_JWT_KEYS", "a:hunter2")], "EVENTS_JWT_KEYS=*** must have"),
        (
            &["api"],
            &[("EVENTS_JWT_KEYS_FILE", "/nowhere/keys")],
            "EVENTS_JWT_KEYS_FILE=/nowhere/keys cannot be read",
        ),
        (
            &["api"],
            &[off, ("DATABASE_URL", "mysql://u:hunter2@h/d")],
            "DATABASE_URL=*** must be sqlite:PATH or",
        ),
        (&["api"], &[off, ("EVENTS_LISTEN", "3000")], "EVENTS_LISTEN=3000 must be an address"),
        (&["api"], &[off, ("EVENTS_DATABASE_TIMEOUT", "0s")], "EVENTS_DATABASE_TIMEOUT=0s must be longer"),
        (
            &["api"],
            &[off, ("EVENTS_TOKEN_LIFETIME", "48h")],
            "EVENTS_TOKEN_LIFETIME=48h must be from 1s to 24h",
        ),
        (&["api"], &[("EVENTS_AUTH", "maybe")], "EVENTS_AUTH=maybe must be one of on, off"),
        (&["consumer-group", "--name", "a b"], &[], "--name=a b must"),
        (
            &["consumer-group"],
            &[("EVENTS_RETRY_FIRST", "1m")],
            "EVENTS_RETRY_FIRST=1m must be at most EVENTS_RETRY_LONGEST=30s",
        ),
        (&["consumer", "--from", "now"], &[], "--from=now must be beginning, end, or an entry id"),
        (&["load-test", "0"], &[], "must be a whole number from 1"),
        (&["inspect", "--output", "xml"], &[], "must be one of text, json"),
    ] {
        let said = refusal(words, settings);
        assert!(said.contains(expected), "{words:?}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
