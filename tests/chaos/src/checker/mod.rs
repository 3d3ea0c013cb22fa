//! Looks at the whole history of a run and says which promises it kept.
//!
//! One file per invariant, each a pure function with small histories that violate it as its tests.
//! [`ledger`] puts the history in order first: what became of each request.

pub mod ledger;

mod deadlines;
mod endings;
mod evidence;
mod executions;
mod healing;
mod leases;
mod metrics;
mod order;
mod outcomes;
mod own_answers;
mod resources;
mod silence;

#[cfg(test)]
mod sample;

use serde::Serialize;

use self::ledger::Ledger;
pub use self::outcomes::{Outcomes, outcomes};
use crate::history::History;

/// The promises; [`Invariant::sentence`] says each in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "their sentences are their documentation")]
pub enum Invariant {
    Evidence,
    NothingLost,
    OwnAnswers,
    AtMostOneCaller,
    NoStrangeExecution,
    NoLateExecution,
    RefusedMeansNotDone,
    ReplyBeforeAcknowledgement,
    LeasesRespected,
    Healed,
    DeadlinesKept,
    ResourcesBack,
    MetricsReconcile,
    EndsExplained,
    NoPanic,
    NoSecret,
}

impl Invariant {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 16] = [
        Self::Evidence,
        Self::NothingLost,
        Self::OwnAnswers,
        Self::AtMostOneCaller,
        Self::NoStrangeExecution,
        Self::NoLateExecution,
        Self::RefusedMeansNotDone,
        Self::ReplyBeforeAcknowledgement,
        Self::LeasesRespected,
        Self::Healed,
        Self::DeadlinesKept,
        Self::ResourcesBack,
        Self::MetricsReconcile,
        Self::EndsExplained,
        Self::NoPanic,
        Self::NoSecret,
    ];

    /// The promise in words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Evidence => {
                "the run is evidence: every fault was injected, and enough callers got an answer"
            }
            Self::NothingLost => {
                "every admitted request ends as replied, dead-lettered, expired or declared lost"
            }
            Self::OwnAnswers => "every reply carries its own request's id, city and location",
            Self::AtMostOneCaller => "no id reaches two callers",
            Self::NoStrangeExecution => "workers execute only requests that ingress stored for a caller",
            Self::NoLateExecution => "no execution starts after the deadline of its request",
            Self::RefusedMeansNotDone => "a request that ingress refused was neither stored nor executed",
            Self::ReplyBeforeAcknowledgement => {
                "XACK never precedes the stored reply or dead letter, unless the deadline had passed"
            }
            Self::LeasesRespected => {
                "a worker claims an entry only if it was idle long enough or was handed back"
            }
            Self::Healed => {
                "within 10 s of healing nothing is pending, lagging or waiting; live consumers = workers"
            }
            Self::DeadlinesKept => "no call outlasted its deadline by more than 1 s",
            Self::ResourcesBack => "streams, memory and descriptors are back to their baseline",
            Self::MetricsReconcile => "metrics, logs and callers agree",
            Self::EndsExplained => "every process ended with exit status 0 or by the signal of a fault",
            Self::NoPanic => "no process panicked except by plan, and each line of a log is a log line",
            Self::NoSecret => "no log and no answer contains a secret",
        }
    }

    fn check(self, ledger: &Ledger<'_>) -> Finding {
        let mut finding =
            Finding { invariant: self, checked: 0, violations: Vec::new(), note: String::new() };
        match self {
            Self::Evidence => evidence::the_run_shows_something(ledger, &mut finding),
            Self::NothingLost => outcomes::every_admitted_request_ends(ledger, &mut finding),
            Self::OwnAnswers => own_answers::every_reply_is_its_requests_own(ledger, &mut finding),
            Self::AtMostOneCaller => own_answers::no_id_reaches_two_callers(ledger, &mut finding),
            Self::NoStrangeExecution => executions::nothing_is_executed_unasked(ledger, &mut finding),
            Self::NoLateExecution => executions::nothing_starts_after_its_deadline(ledger, &mut finding),
            Self::RefusedMeansNotDone => executions::what_was_refused_was_not_done(ledger, &mut finding),
            Self::ReplyBeforeAcknowledgement => order::no_acknowledgement_comes_first(ledger, &mut finding),
            Self::LeasesRespected => leases::no_lease_is_stolen(ledger, &mut finding),
            Self::Healed => healing::nothing_is_left_over(ledger, &mut finding),
            Self::DeadlinesKept => deadlines::no_call_outlasts_its_deadline(ledger, &mut finding),
            Self::ResourcesBack => resources::everything_is_back_to_its_baseline(ledger, &mut finding),
            Self::MetricsReconcile => metrics::metrics_logs_and_callers_agree(ledger, &mut finding),
            Self::EndsExplained => endings::every_end_has_a_reason(ledger, &mut finding),
            Self::NoPanic => silence::no_process_panicked(ledger, &mut finding),
            Self::NoSecret => silence::no_process_reveals_a_secret(ledger, &mut finding),
        }
        finding
    }
}

/// The result of checking one promise.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The promise.
    pub invariant: Invariant,
    /// How many cases were looked at.
    pub checked: usize,
    /// Each case that breaks it, in words.
    pub violations: Vec<String>,
    /// Numbers that help to judge the result.
    pub note: String,
}

impl Finding {
    /// Counts one case; `complaint` describes the violation, if there is one.
    fn case(&mut self, complaint: Option<String>) {
        self.checked += 1;
        self.violations.extend(complaint);
    }

    /// Counts one case and, unless it `holds`, a violation.
    fn demand(&mut self, holds: bool, complaint: impl FnOnce() -> String) {
        self.case((!holds).then(complaint));
    }

    /// True if the promise was kept.
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Checks every promise.
pub fn check(history: &History) -> Vec<Finding> {
    let ledger = Ledger::of(history);
    Invariant::ALL.iter().map(|invariant| invariant.check(&ledger)).collect()
}
