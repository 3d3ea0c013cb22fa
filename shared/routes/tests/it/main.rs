//! The routes file, read from real files.

mod bodies;
mod documents;
mod faults;
mod fuzz;
mod matching;
mod reading;
mod watching;

use std::path::PathBuf;

use routes::{Faults, Routes};
use tempfile::TempDir;

/// A folder with a routes file, and what the environment says.
pub(crate) struct Folder {
    folder: TempDir,
}

impl Folder {
    /// A folder with `files`: names and contents.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        for (name, content) in files {
            folder.write(name, content);
        }
        folder
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("written");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn load(&self, name: &str) -> Result<Routes, Faults> {
        Routes::load_with(&self.path(name), &env)
    }
}

/// The environment of the tests.
fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("billing.internal".to_owned()),
        "EMPTY" => Some(String::new()),
        "SECRET" => Some("hunter2".to_owned()),
        "NUMBER" => Some("4711".to_owned()),
        "YAML" => Some("x\nroutes: []".to_owned()),
        _ => None,
    }
}

/// Reads `text` as `routes.yaml`.
pub(crate) fn load(text: &str) -> Result<Routes, Faults> {
    Folder::with(&[("routes.yaml", text)]).load("routes.yaml")
}

/// The faults of `text` as lines without the folder: `14:9 timeout: …`.
pub(crate) fn faults(text: &str) -> Vec<String> {
    lines(load(text).expect_err("faults"))
}

pub(crate) fn lines(faults: Faults) -> Vec<String> {
    let line = |fault: &routes::Fault| match fault.place {
        Some((line, column)) => format!("{line}:{column} {}", fault.message),
        None => fault.message.clone(),
    };
    faults.iter().map(line).collect()
}

/// A file with one route whose keys are `keys`, from line 4 and column 5 on.
pub(crate) fn with_route(keys: &str) -> String {
    format!(
        "version: 1\nroutes:\n  - id: a\n    match: {{method: POST, path: /a}}\n    stream: s\n    {}\n",
        keys.replace('\n', "\n    ")
    )
}

/// A file with one upstream whose keys are `keys`, from line 9 and column 5 on.
pub(crate) fn with_upstream(keys: &str) -> String {
    format!(
        "{}upstreams:\n  billing:\n    {}\n",
        with_route("upstream: billing"),
        keys.replace('\n', "\n    ")
    )
}
