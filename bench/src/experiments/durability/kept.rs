//! What one setting kept, and the promises it broke.

use serde::{Deserialize, Serialize};

use super::super::loadtest::Report;
use super::loss::Loss;

/// How loadtest names what a caller is allowed to see while Redis is away.
pub(super) const HONEST: [&str; 2] = ["http_503", "http_504"];

/// Of one setting: answers per second, round by round, and its kills.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct Kept {
    pub(super) name: String,
    /// Whether a kill of the process may take something that was confirmed.
    pub(super) may_lose: bool,
    pub(super) throughput: Vec<f64>,
    pub(super) kills: Vec<Kill>,
}

/// One kill: what was confirmed before it, what of that was lost, and what callers saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kill {
    pub(super) confirmed: u64,
    pub(super) loss: Loss,
    pub(super) report: Report,
}

impl Kill {
    /// A wrong answer, another status, or no answer at all.
    pub(super) fn dishonest(&self) -> u64 {
        self.report.failed.saturating_sub(self.report.count(&HONEST))
    }

    /// One line.
    pub(super) fn in_words(&self) -> String {
        let Loss { entries, oldest_ms, .. } = self.loss;
        let (confirmed, right) = (self.confirmed, self.report.succeeded);
        let failures = self.report.failures_in_words();
        format!(
            "{entries} of {confirmed} lost, the oldest {oldest_ms:.0} ms before; callers: {right} right, {failures}"
        )
    }
}

impl Kept {
    pub(super) fn new(name: &str, may_lose: bool) -> Self {
        Self { name: name.to_owned(), may_lose, throughput: Vec::new(), kills: Vec::new() }
    }

    /// The sum of something over all kills.
    pub(super) fn sum(&self, value: impl Fn(&Kill) -> u64) -> u64 {
        self.kills.iter().map(value).sum()
    }

    /// Every promise that was not kept, as a sentence.
    pub(super) fn broken(&self) -> Vec<String> {
        let (name, mut broken) = (&self.name, Vec::new());
        let holes = self.sum(|kill| kill.loss.holes);
        let dishonest = self.sum(Kill::dishonest);
        let lost = self.sum(|kill| kill.loss.entries);
        if holes > 0 {
            broken.push(format!("{name}: {holes} entries were lost although younger ones are there"));
        }
        if dishonest > 0 {
            broken.push(format!("{name}: {dishonest} callers got neither a right answer nor 503 or 504"));
        }
        if lost > 0 && !self.may_lose {
            broken.push(format!("{name}: {lost} confirmed entries were lost"));
        }
        broken
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::super::loadtest::{Failure, Latency};
    use super::*;

    /// 90 right answers and these failures.
    pub(in super::super) fn kill(loss: Loss, failures: &[(&str, u64)]) -> Kill {
        let failed = failures.iter().map(|(_, count)| count).sum();
        let failures = failures.iter().map(|(kind, count)| Failure {
            kind: (*kind).to_owned(),
            count: *count,
            latency_ms: Latency::default(),
        });
        let report = Report {
            requests: 90 + failed,
            succeeded: 90,
            failed,
            failures: failures.collect(),
            ..Report::default()
        };
        Kill { confirmed: 10, loss, report }
    }

    fn kept(may_lose: bool, kill: Kill) -> Kept {
        Kept { kills: vec![kill], ..Kept::new("it", may_lose) }
    }

    #[test]
    fn answers_503_and_504_are_honest() {
        let kept = kept(true, kill(Loss::default(), &[("http_503", 9), ("http_504", 1)]));

        assert_eq!(kept.broken(), Vec::<String>::new());
    }

    #[test]
    fn every_promise_can_be_broken() {
        let lost = |holes| Loss { entries: 3, oldest_ms: 5.0, holes };
        let cases = [
            (
                "it: 2 callers got neither",
                kept(true, kill(Loss::default(), &[("wrong_city", 1), ("timeout", 1)])),
            ),
            ("it: 1 entries were lost although", kept(true, kill(lost(1), &[]))),
            ("it: 3 confirmed entries were lost", kept(false, kill(lost(0), &[]))),
        ];
        for (sentence, kept) in cases {
            let said = kept.broken().join("\n");

            assert!(said.contains(sentence), "no {sentence} in {said}");
        }
    }
}
