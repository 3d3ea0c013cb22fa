//! Which processes a run started, so that the next run knows what a killed one left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::port_owner::output;

/// The processes of this run, in a file that goes with its orderly end.
pub(crate) struct Record(PathBuf);

impl Record {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.join(format!("run-{}", std::process::id())))
    }

    /// Another process was started.
    pub(crate) fn add(&self, name: &str, pid: u32) -> anyhow::Result<()> {
        self.0.parent().map_or(Ok(()), fs::create_dir_all)?;
        writeln!(OpenOptions::new().create(true).append(true).open(&self.0)?, "{pid} {name}")?;
        Ok(())
    }

    /// All of them ended.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What earlier runs, killed or still up, have running.
#[derive(Default)]
pub(crate) struct Earlier {
    /// By process: the one to end in order to end it, which is its launcher if that still runs.
    ends: BTreeMap<u32, u32>,
    pub(crate) redis: Vec<u32>,
}

impl Earlier {
    pub(crate) fn of(folder: &Path) -> Self {
        let mut earlier = Self::default();
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = file.file_name();
            let Some(run) = name.to_str().and_then(|name| name.strip_prefix("run-")?.parse().ok()) else {
                continue;
            };
            let launcher = Some(run).filter(|run| *run != std::process::id() && is(*run, "stack"));
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            let started = text.lines().filter_map(|line| line.split_once(' '));
            let started = started.filter_map(|(pid, name)| Some((pid.parse().ok()?, name)));
            let living: Vec<(u32, &str)> = started.filter(|(pid, name)| is(*pid, name)).collect();
            if living.is_empty() && launcher.is_none() {
                let _ = fs::remove_file(file.path());
            }
            for (pid, name) in living {
                earlier.ends.insert(pid, launcher.unwrap_or(pid));
                earlier.redis.extend((name == "redis").then_some(pid));
            }
        }
        earlier
    }

    /// How to end those of the processes that an earlier run started, as a line of its own.
    pub(crate) fn advice(&self, pids: impl IntoIterator<Item = u32>) -> String {
        let ends: BTreeSet<_> =
            pids.into_iter().filter_map(|pid| self.ends.get(&pid)).map(u32::to_string).collect();
        if ends.is_empty() {
            return String::new();
        }
        let ends: Vec<_> = ends.into_iter().collect();
        format!("\nan earlier run started that; end it with: kill {}", ends.join(" "))
    }
}

/// True if the process runs and has that name: a number that another program got meanwhile is none of ours.
fn is(pid: u32, name: &str) -> bool {
    let told = output("ps", &["-o", "stat=", "-o", "comm=", "-p", &pid.to_string()]).unwrap_or_default();
    let program =
        told.split_once(' ').filter(|(state, _)| !state.starts_with('Z')).map_or("", |(_, program)| program);
    program.contains(name) || (name == "redis" && program.contains("valkey"))
}
