//! What /proc says: about this machine, its processes, and who was busy.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Where something was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many processors there are.
    pub processors: usize,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// The kernel's version.
    pub kernel: String,
    /// Programs and their versions.
    pub programs: Vec<String>,
}

impl Machine {
    /// This one; `programs` are asked for their versions.
    pub fn describe(programs: &[&Path]) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = read("/proc/meminfo");
        let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
        let kib: f64 = kib.and_then(|kib| kib.parse().ok()).unwrap_or_default();
        Self {
            processor: name.map_or("unknown", |(_, name)| name).to_owned(),
            processors: processors(),
            memory_gib: (kib / 1_048_576.0).round(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            programs: programs.iter().map(|program| version(program)).collect(),
        }
    }
}

/// A line of /proc/PID/status in KiB, such as VmRSS; 0 if there is none.
pub fn memory_kib(pid: u32, line: &str) -> u64 {
    let status = read(&format!("/proc/{pid}/status"));
    let kib =
        status.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(':')?.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

/// How many processors this process may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

fn version(program: &Path) -> String {
    let asked = std::process::Command::new(program).arg("--version").output();
    let said = asked.map(|it| String::from_utf8_lossy(&[it.stdout, it.stderr].concat()).into_owned());
    let said = said.unwrap_or_default();
    let first = said.lines().next().unwrap_or_default();
    first
        .split([',', '[', '('])
        .next()
        .unwrap_or_default()
        .split(" sha=")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// CPU time in clock ticks, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Busy {
    /// All processors: programs, their system calls and what the hypervisor gave to others. Interrupts
    /// are no program's.
    pub total: u64,
    /// By process, with its name.
    pub processes: BTreeMap<u32, (String, u64)>,
}

/// Ticks per second: the kernel's interface to programs, the same on every Linux for decades.
pub const TICKS: f64 = 100.0;

impl Busy {
    /// Now.
    pub fn now() -> Self {
        let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = folders.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let processes = pids.filter_map(|pid: u32| Some((pid, of_process(&stat_of(pid)?)?)));
        Self { processes: processes.collect(), total: of_all(&read("/proc/stat")) }
    }

    /// Ticks of one process since `before`, which may not have known it.
    pub fn since(&self, before: &Self, pid: u32) -> u64 {
        let then = before.processes.get(&pid).map_or(0, |(_, ticks)| *ticks);
        self.processes.get(&pid).map_or(0, |(_, now)| now.saturating_sub(then))
    }

    /// Who of all but `ours` was busiest since `before`, with its ticks.
    pub fn busiest(&self, before: &Self, ours: &[u32]) -> Option<(String, u64)> {
        let others = self.processes.iter().filter(|(pid, _)| !ours.contains(pid));
        let spent =
            others.map(|(pid, (name, _))| (format!("{name} (process {pid})"), self.since(before, *pid)));
        spent.max_by_key(|(_, ticks)| *ticks).filter(|(_, ticks)| *ticks > 0)
    }
}

fn stat_of(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// user, nice, system and steal of the first line of /proc/stat; guests are part of user.
fn of_all(stat: &str) -> u64 {
    let columns: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|it| it.parse().ok())
        .collect();
    [0, 1, 2, 7].iter().filter_map(|&column| columns.get(column)).sum()
}

/// Name, and utime with stime, of /proc/PID/stat. The name may hold spaces and brackets.
fn of_process(stat: &str) -> Option<(String, u64)> {
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let columns: Vec<&str> = rest.split(' ').collect();
    let ticks = columns.get(11)?.parse::<u64>().ok()? + columns.get(12)?.parse::<u64>().ok()?;
    Some((name.to_owned(), ticks))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_an_odd_name_tells_its_time() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 7 9 20 0 5 0 100 1000 200";

        assert_eq!(of_process(stat), Some(("a (b) c".to_owned(), 300)));
        assert_eq!(of_process("42 (gone"), None);
    }

    #[test]
    fn busy_is_what_programs_and_theft_take_not_waiting() {
        let stat = "cpu  1000 200 30 9999 500 7 8 4 3 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";

        assert_eq!(of_all(stat), 1_234);
    }

    #[test]
    fn this_process_is_among_those_seen_and_time_only_grows() {
        let before = Busy::now();
        let after = Busy::now();

        assert!(before.processes.contains_key(&std::process::id()));
        assert!(after.total >= before.total);
    }

    #[test]
    fn the_busiest_stranger_is_named_and_our_own_are_not() {
        let at = |ours, theirs| Busy {
            total: 0,
            processes: [(1, ("ours".to_owned(), ours)), (2, ("theirs".to_owned(), theirs))].into(),
        };

        assert_eq!(at(90, 25).busiest(&at(0, 5), &[1]), Some(("theirs (process 2)".to_owned(), 20)));
        assert_eq!(at(90, 5).busiest(&at(0, 5), &[1]), None);
    }
}
