//! The report: a table of the faults, how the requests ended, and which promises were kept.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::checker::ledger::Ledger;
use crate::checker::{Finding, Outcomes, outcomes};
use crate::history::{Call, History, Injected, Micros, Outcome, Role, Wish};
use crate::options::Options;
use crate::schedule::Fault;

/// The outcome of a run.
#[derive(Debug, Clone)]
pub struct Report {
    options: Options,
    rows: Vec<Row>,
    all: Answers,
    outcomes: Outcomes,
    processes: [usize; 2],
    /// One for each invariant.
    pub findings: Vec<Finding>,
    /// Where history and logs are.
    pub kept: Option<PathBuf>,
}

/// Violations shown of one invariant; the history has them all.
const SHOWN: usize = 5;

impl Report {
    /// Sums `history` up.
    pub fn new(options: Options, history: &History, findings: Vec<Finding>) -> Self {
        let mut by_kind: BTreeMap<Fault, Vec<&Injected>> = BTreeMap::new();
        for injected in &history.faults {
            by_kind.entry(injected.planned.fault).or_default().push(injected);
        }
        let rows = by_kind.into_iter().map(|(fault, injected)| Row::of(fault, &injected, history)).collect();
        let count = |role| history.processes.iter().filter(|process| process.role == role).count();
        Self {
            options,
            rows,
            all: Answers::of(history.calls.iter().filter(|call| call.wish != Wish::Probe)),
            outcomes: outcomes(&Ledger::of(history)),
            processes: [count(Role::Ingress), count(Role::Worker)],
            findings,
            kept: None,
        }
    }

    /// True if all promises were kept, or the planted defect was noticed by the invariant that is
    /// meant for it.
    pub fn is_good(&self) -> bool {
        match self.options.plant {
            None => self.findings.iter().all(Finding::holds),
            Some(plant) => {
                let noticed = |finding: &&Finding| finding.invariant == plant.breaks();
                self.findings.iter().find(noticed).is_some_and(|finding| !finding.holds())
            }
        }
    }

    fn verdict(&self) -> String {
        match (self.options.plant, self.is_good()) {
            (None, true) => "all promises kept".to_owned(),
            (None, false) => "PROMISES BROKEN".to_owned(),
            (Some(plant), true) => format!("the planted defect {plant:?} was noticed"),
            (Some(plant), false) => format!("THE PLANTED DEFECT {plant:?} WAS NOT NOTICED"),
        }
    }

    fn command(&self) -> String {
        let Options { seed, duration, rate, plant, calm, check, .. } = &self.options;
        if let Some(file) = check {
            return format!("chaos --check {}", file.display());
        }
        let plant = plant.and_then(|plant| clap::ValueEnum::to_possible_value(&plant));
        let plant = plant.map(|plant| format!(" --plant {}", plant.get_name())).unwrap_or_default();
        let calm = if *calm { " --calm" } else { "" };
        format!("chaos --seed {seed} --duration {duration} --rate {rate}{plant}{calm}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rows.is_empty() {
            writeln!(
                f,
                "| Fault | Times | Requests during | 200 | refused | 504 | other | Heals in: median | most |"
            )?;
            writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
            self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
            writeln!(f)?;
        }
        let Answers { total, good, refused, late, other } = self.all;
        writeln!(f, "Calls: {total}; 200: {good}, refused: {refused}, 504: {late}, other: {other}")?;
        let Outcomes { replied, dead_lettered, expired, declared_lost, unaccounted } = self.outcomes;
        writeln!(
            f,
            "Stored requests: replied {replied}, dead-lettered {dead_lettered}, expired {expired}, declared lost \
             {declared_lost}, unaccounted {unaccounted}"
        )?;
        let [gateways, workers] = self.processes;
        writeln!(f, "Processes started: {gateways} ingress, {workers} workers\n")?;
        for finding in &self.findings {
            let sign = if finding.holds() { '✓' } else { '✗' };
            let (violations, checked) = (finding.violations.len(), finding.checked);
            write!(f, "{sign} {} ({checked} checked", finding.invariant.sentence())?;
            if violations > 0 {
                write!(f, ", {violations} violations")?;
            }
            let note = if finding.note.is_empty() { String::new() } else { format!("; {}", finding.note) };
            writeln!(f, "{note})")?;
            finding.violations.iter().take(SHOWN).try_for_each(|it| writeln!(f, "    {it}"))?;
        }
        write!(f, "\n{}: {}", self.command(), self.verdict())?;
        match &self.kept {
            Some(folder) => write!(f, "\nHistory and logs: {}", folder.display()),
            None => Ok(()),
        }
    }
}

/// One kind of fault.
#[derive(Debug, Clone)]
struct Row {
    fault: Fault,
    times: usize,
    during: Answers,
    /// Times to heal, sorted; `None` never did.
    healing: Vec<Option<Micros>>,
}

impl Row {
    fn of(fault: Fault, injected: &[&Injected], history: &History) -> Self {
        let is_during = |call: &&Call| {
            let until = |it: &Injected| it.healed.unwrap_or(it.to);
            let during = |it: &&&Injected| (it.from..=until(it)).contains(&call.started);
            call.wish != Wish::Probe && injected.iter().find(during).is_some()
        };
        let healing = |it: &&Injected| it.healed.map(|healed| healed.saturating_sub(it.to));
        let mut healing: Vec<Option<Micros>> = injected.iter().map(healing).collect();
        healing.sort_by_key(|it| it.unwrap_or(Micros::MAX));
        let during = Answers::of(history.calls.iter().filter(is_during));
        Self { fault, times: injected.len(), during, healing }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |it: Option<&Option<Micros>>| match it {
            Some(Some(micros)) => format!("{:.2} s", *micros as f64 / 1e6),
            Some(None) => "never".to_owned(),
            None => "-".to_owned(),
        };
        let (median, most) = (time(self.healing.get(self.healing.len() / 2)), time(self.healing.last()));
        let Answers { total, good, refused, late, other } = self.during;
        let (name, times) = (self.fault.name(), self.times);
        write!(
            f,
            "| {name} | {times} | {total} | {good} | {refused} | {late} | {other} | {median} | {most} |"
        )
    }
}

/// Calls by how they ended.
#[derive(Debug, Default, Clone, Copy)]
struct Answers {
    total: usize,
    good: usize,
    /// 4xx and 503.
    refused: usize,
    late: usize,
    /// Other answers, broken connections, callers who left.
    other: usize,
}

impl Answers {
    fn of<'a>(calls: impl Iterator<Item = &'a Call>) -> Self {
        let mut answers = Self::default();
        for call in calls {
            answers.total += 1;
            *match &call.outcome {
                Outcome::Answered(answer) if answer.status == 200 => &mut answers.good,
                Outcome::Answered(answer) if matches!(answer.status, 400..=499 | 503) => &mut answers.refused,
                Outcome::Answered(answer) if answer.status == 504 => &mut answers.late,
                _ => &mut answers.other,
            } += 1;
        }
        answers
    }
}
