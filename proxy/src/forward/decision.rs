//! The status mapping: what follows from the end of a try. docs/ROUTES.md has the same table.

use std::time::Duration;

use super::attempt::{Answered, Outcome};

/// What may happen to one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Doing the work twice does no harm, or the upstream does it once per `Idempotency-Key`.
    pub(super) repeatable: bool,
    /// The work must not be done again: the request is not sent again after a byte of it was sent.
    pub(super) at_most_once: bool,
    /// The time until the last moment of a reply.
    pub(super) left: Duration,
    /// The wait before another try, if the upstream names none.
    pub(super) backoff: Duration,
}

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// The caller gets the answer.
    Reply(Answered),
    /// The caller gets the answer, and is told when to ask again.
    ReplyLater(Answered, Duration),
    /// The caller gets this problem.
    Problem(u16, String),
    /// The request is sent again after this wait.
    Again {
        /// How long.
        wait: Duration,
        /// True if this try costs a retry of the budget, false if the upstream has named the wait itself.
        budgeted: bool,
        /// If there is no budget.
        otherwise: Box<Decision>,
    },
    /// The request goes back to the stream.
    HandBack,
}

/// What follows from `outcome`.
pub(super) fn decide(outcome: Outcome, rules: &Rules) -> Decision {
    match outcome {
        Outcome::Answered(answer) => of_status(answer, rules),
        Outcome::TooLarge => Decision::Problem(
            502,
            "upstream-answer-too-large: the answer of the upstream has more bytes than the route allows"
                .to_owned(),
        ),
        // Always safe, even at most once: nothing was sent.
        Outcome::Unreachable(_) => again_or(
            rules,
            Decision::HandBack,
            Decision::Problem(504, "the upstream could not be reached in time; nothing was sent".to_owned()),
        ),
        Outcome::NoAnswer(_) => no_answer(rules),
    }
}

fn of_status(answer: Answered, rules: &Rules) -> Decision {
    match (answer.status, answer.retry_after) {
        (429 | 503, Some(wait)) => {
            let wait = wait.max(rules.backoff);
            let reply = Decision::ReplyLater(answer, wait);
            match wait < rules.left && !rules.at_most_once {
                true => Decision::Again { wait, budgeted: false, otherwise: Box::new(reply) },
                false => reply,
            }
        }
        // The upstream says that it has not taken the request.
        (408 | 425, _) if !rules.at_most_once => {
            let reply = || Decision::Reply(answer.clone());
            again_or(rules, reply(), reply())
        }
        (502 | 504, _) => no_answer(rules),
        (200..=599, _) => Decision::Reply(answer),
        (status, _) => Decision::Problem(502, format!("the upstream answered with the status {status}")),
    }
}

/// The request was sent, and nobody knows whether the work was done.
fn no_answer(rules: &Rules) -> Decision {
    let unknown = "the upstream was asked and gave no answer; the work may have been done, so find out before you ask again";
    let unknown = Decision::Problem(504, unknown.to_owned());
    match rules.repeatable && !rules.at_most_once {
        true => again_or(rules, Decision::HandBack, unknown),
        false => unknown,
    }
}

/// Another try after the backoff, if there is time.
fn again_or(rules: &Rules, without_budget: Decision, without_time: Decision) -> Decision {
    match rules.backoff < rules.left {
        true => Decision::Again { wait: rules.backoff, budgeted: true, otherwise: Box::new(without_budget) },
        false => without_time,
    }
}

/// True if the upstream failed, for its breaker: a status that says that it answers, even a 500, is none.
pub(super) fn is_failure(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Answered(answer) => matches!(answer.status, 502..=504),
        Outcome::TooLarge => false,
        Outcome::Unreachable(_) | Outcome::NoAnswer(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const RULES: Rules = Rules {
        repeatable: false,
        at_most_once: false,
        left: Duration::from_secs(10),
        backoff: Duration::from_millis(100),
    };

    fn answered(status: u16, retry_after: Option<u64>) -> Outcome {
        Outcome::Answered(Answered {
            status,
            content_type: None,
            headers: Vec::new(),
            retry_after: retry_after.map(Duration::from_secs),
            body: Bytes::new(),
        })
    }

    /// The decision in a word: a status, `again` with its seconds, or `back`.
    fn word(outcome: Outcome, rules: Rules) -> String {
        match decide(outcome, &rules) {
            Decision::Reply(answer) => answer.status.to_string(),
            Decision::ReplyLater(answer, wait) => format!("{} later {}", answer.status, wait.as_secs_f64()),
            Decision::Problem(status, detail) => {
                let unknown = if detail.contains("may have been done") { " unknown" } else { "" };
                format!("problem {status}{unknown}")
            }
            Decision::Again { wait, .. } => format!("again {}", wait.as_secs_f64()),
            Decision::HandBack => "back".to_owned(),
        }
    }

    #[test]
    fn an_answer_is_passed_on_as_it_is() {
        for status in [200, 204, 299, 301, 304, 307, 400, 401, 404, 409, 422, 499, 500, 501, 505, 507, 599] {
            assert_eq!(word(answered(status, None), RULES), status.to_string());
        }
        assert_eq!(word(answered(429, None), RULES), "429");
        assert_eq!(word(answered(503, None), RULES), "503");
        assert_eq!(word(answered(999, None), RULES), "problem 502");
    }

    #[test]
    fn retry_after_is_waited_for_if_it_fits_the_deadline() {
        for status in [429, 503] {
            assert_eq!(word(answered(status, Some(3)), RULES), "again 3");
            assert_eq!(word(answered(status, Some(0)), RULES), "again 0.1", "never at once");
            assert_eq!(word(answered(status, Some(10)), RULES), format!("{status} later 10"));
            let once = Rules { at_most_once: true, ..RULES };
            assert_eq!(word(answered(status, Some(3)), once), format!("{status} later 3"));
        }
        assert_eq!(word(answered(500, Some(3)), RULES), "500");
    }

    #[test]
    fn what_was_not_sent_is_sent_again_even_at_most_once() {
        let unreachable = || Outcome::Unreachable(String::new());
        for at_most_once in [false, true] {
            let rules = Rules { at_most_once, ..RULES };
            assert_eq!(word(unreachable(), rules), "again 0.1");
            let late = Rules { left: Duration::from_millis(99), ..rules };
            assert_eq!(word(unreachable(), late), "problem 504");
        }
        let Decision::Again { budgeted: true, otherwise, .. } = decide(unreachable(), &RULES) else {
            panic!("not again")
        };
        assert_eq!(*otherwise, Decision::HandBack);
    }

    #[test]
    fn what_got_no_answer_is_sent_again_if_that_does_no_harm() {
        let cases = [Outcome::NoAnswer(String::new()), answered(502, None), answered(504, None)];
        for outcome in cases {
            let repeatable = Rules { repeatable: true, ..RULES };
            assert_eq!(word(outcome.clone(), RULES), "problem 504 unknown", "{outcome:?}");
            assert_eq!(word(outcome.clone(), repeatable), "again 0.1", "{outcome:?}");
            let once = Rules { at_most_once: true, ..repeatable };
            assert_eq!(word(outcome.clone(), once), "problem 504 unknown", "{outcome:?}");
            let late = Rules { left: Duration::ZERO, ..repeatable };
            assert_eq!(word(outcome, late), "problem 504 unknown");
        }
    }

    #[test]
    fn an_answer_that_says_not_taken_is_asked_again() {
        for status in [408, 425] {
            assert_eq!(word(answered(status, None), RULES), "again 0.1");
            let late = Rules { left: Duration::ZERO, ..RULES };
            assert_eq!(word(answered(status, None), late), status.to_string());
            let once = Rules { at_most_once: true, ..RULES };
            assert_eq!(word(answered(status, None), once), status.to_string());
        }
    }

    #[test]
    fn too_large_an_answer_is_named() {
        let Decision::Problem(502, detail) = decide(Outcome::TooLarge, &RULES) else { panic!("no 502") };

        assert!(detail.starts_with("upstream-answer-too-large"), "{detail}");
    }

    #[test]
    fn the_breaker_counts_what_says_that_the_upstream_is_down() {
        let failures = [answered(502, None), answered(503, None), answered(504, None)];
        for failure in
            failures.iter().chain(&[Outcome::Unreachable(String::new()), Outcome::NoAnswer(String::new())])
        {
            assert!(is_failure(failure), "{failure:?}");
        }
        for fine in [answered(200, None), answered(429, None), answered(500, None), Outcome::TooLarge] {
            assert!(!is_failure(&fine), "{fine:?}");
        }
    }
}
