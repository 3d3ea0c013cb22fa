//! Checks of the architecture invariants, by reading the sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Which modules of the crate a module may import.
const MAY_IMPORT: [(&str, &[&str]); 15] = [
    ("clock", &[]),
    ("fields", &[]),
    ("codec", &[]),
    ("resilience", &[]),
    ("telemetry", &["envelope"]),
    ("envelope", &["clock", "fields"]),
    ("connection", &["clock", "resilience", "telemetry"]),
    ("stream", &["clock", "fields", "codec", "connection", "resilience", "telemetry"]),
    ("channel", &["codec", "connection", "fields", "stream", "telemetry"]),
    ("fanout", &["codec", "connection", "stream"]),
    ("windows", &["codec", "connection", "stream"]),
    ("requester", &["clock", "fields", "envelope", "connection", "stream", "resilience", "telemetry"]),
    ("worker", &["clock", "connection", "stream", "resilience", "telemetry"]),
    ("responder", &["clock", "envelope", "connection", "stream", "telemetry", "worker"]),
    ("testing", &[]),
];

/// Which modules of the crate `service` a module of it may import.
const SERVICE_MAY_IMPORT: [(&str, &[&str]); 10] = [
    ("api_key", &[]),
    ("config", &["logs", "otlp"]),
    ("exporter", &["logs"]),
    ("http", &["config", "exporter", "liveness"]),
    ("liveness", &[]),
    ("logs", &[]),
    ("operations", &["exporter", "http", "liveness"]),
    ("otlp", &[]),
    ("process", &[]),
    ("shutdown", &["logs"]),
];

/// The modules that do not use Redis.
const NO_REDIS: [&str; 5] = ["clock", "fields", "codec", "envelope", "resilience"];

#[test]
fn imports_inside_each_crate_follow_the_rules() {
    for (source, table) in [(source(), &MAY_IMPORT[..]), (service(), &SERVICE_MAY_IMPORT)] {
        for (module, allowed) in table {
            for file in files_of(&source, module) {
                let text = code_of(&file);
                let imported = text.split("crate::").skip(1).map(first_word).filter(|name| name != module);
                for name in imported.collect::<BTreeSet<_>>() {
                    assert!(
                        allowed.contains(&name),
                        "{} imports crate::{name}, which {module} may not",
                        file.display()
                    );
                }
            }
        }
    }
}

#[test]
fn every_module_has_a_rule_for_its_imports() {
    for (source, table) in [(source(), &MAY_IMPORT[..]), (service(), &SERVICE_MAY_IMPORT)] {
        let modules: BTreeSet<String> = std::fs::read_dir(source)
            .expect("the sources")
            .map(|entry| {
                entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned()
            })
            .filter(|name| name != "lib")
            .collect();

        let listed = table.iter().map(|(module, _)| (*module).to_owned()).collect();

        assert_eq!(modules, listed);
    }
}

#[test]
fn envelope_codec_and_resilience_do_not_use_redis() {
    for module in NO_REDIS {
        for file in files_of(&source(), module) {
            assert!(!code_of(&file).contains("redis::"), "{} uses Redis", file.display());
        }
    }
}

#[test]
fn only_the_heartbeat_reads_this_machines_clock() {
    for (module, _) in MAY_IMPORT.iter().filter(|(module, _)| *module != "clock") {
        for file in
            files_of(&source(), module).iter().filter(|file| !file.ends_with("connection/heartbeat.rs"))
        {
            let code = code_of(file);
            let reads = code.contains("SystemClock") || code.contains("SystemTime");
            assert!(!reads, "{} reads the clock of this machine", file.display());
        }
    }
}

#[test]
fn the_library_and_the_processes_are_independent() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (folder, other) in [
        ("shared/streamgate", "weather"),
        ("shared/streamgate", "service"),
        ("shared/weather", "streamgate"),
        ("shared/routes", "service"),
        ("shared/routes", "axum"),
        ("shared/routes", "redis"),
        ("ingress", "proxy"),
        ("proxy", "ingress"),
        ("loadtest", "streamgate"),
    ] {
        let manifest = std::fs::read_to_string(root.join(folder).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).expect("dependencies");
        assert!(!dependencies.lines().any(|line| first_word(line) == other), "{folder} depends on {other}");
    }
}

#[test]
fn only_the_library_sends_commands_to_redis() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut crates: Vec<PathBuf> = ["ingress", "proxy", "shared/service"].map(|name| root.join(name)).into();
    if let Ok(examples) = std::fs::read_dir(root.join("examples")) {
        crates.extend(examples.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()));
    }
    for folder in crates {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).expect("dependencies");
        let dependencies = dependencies.split("[dev-dependencies]").next().unwrap_or_default();
        let client = dependencies.lines().find(|line| ["redis", "deadpool"].contains(&first_word(line)));
        assert_eq!(client, None, "{} has a client of its own", folder.display());
        for file in files_of(&folder, "src") {
            let code = code_of(&file);
            assert!(!code.contains("redis::"), "{} uses the client", file.display());
            for command in ["XADD", "XREAD", "XACK", "XCLAIM", "XAUTOCLAIM", "XRANGE", "XTRIM", "XGROUP"] {
                assert!(!code.contains(&format!("\"{command}")), "{} sends {command}", file.display());
            }
        }
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn service() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../service/src")
}

/// The files of a module: `name.rs`, or all files below `name/`.
fn files_of(source: &Path, module: &str) -> Vec<PathBuf> {
    let single = source.join(format!("{module}.rs"));
    if single.exists() {
        return vec![single];
    }
    let mut files = Vec::new();
    let mut folders = vec![source.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|e| e == "rs") => files.push(path),
                false => {}
            }
        }
    }
    assert!(!files.is_empty(), "no files of {module}");
    files
}

/// The code of a file without comments and tests.
fn code_of(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("readable");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}
