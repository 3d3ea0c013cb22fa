use std::collections::HashMap;

use super::Finding;
use super::ledger::Ledger;
use crate::faults::FORGER;
use crate::history::{Answer, Call, Fields, Outcome};
use crate::setup::REPLIES;

/// On the lane and at the caller.
pub(super) fn every_reply_is_its_requests_own(ledger: &Ledger<'_>, finding: &mut Finding) {
    for (call, answer) in answers(ledger) {
        finding.case(complaint_of_a_caller(call, answer));
    }
    let history = ledger.history;
    let replies = history.entries.iter().filter(|entry| entry.stream.starts_with(REPLIES));
    for reply in replies.filter(|reply| reply.fields.worker.as_deref() != Some(FORGER)) {
        finding.case(complaint_about_a_reply(ledger, &reply.fields));
    }
}

pub(super) fn no_id_reaches_two_callers(ledger: &Ledger<'_>, finding: &mut Finding) {
    let mut callers: HashMap<&str, &Call> = HashMap::new();
    for (call, answer) in answers(ledger) {
        let first = callers.insert(&answer.id, call);
        finding.case(first.map(|first| {
            format!("{} reached the callers of {} and {}", answer.id, first.location, call.location)
        }));
    }
}

fn answers<'a>(ledger: &Ledger<'a>) -> impl Iterator<Item = (&'a Call, &'a Answer)> {
    ledger.history.calls.iter().filter_map(|call| match &call.outcome {
        Outcome::Answered(answer) => Some((call, answer)),
        _ => None,
    })
}

fn complaint_of_a_caller(call: &Call, answer: &Answer) -> Option<String> {
    let asked = (call.city.as_str(), call.location.as_str());
    let got = (answer.city.as_deref().unwrap_or(""), answer.location.as_deref().unwrap_or(""));
    if answer.body_id.as_ref() != Some(&answer.id) {
        return Some(format!("the answer to {} has the body of {:?}", answer.id, answer.body_id));
    }
    (answer.status == 200 && asked != got).then(|| format!("{}: asked for {asked:?}, got {got:?}", answer.id))
}

fn complaint_about_a_reply(ledger: &Ledger<'_>, reply: &Fields) -> Option<String> {
    let id = reply.id.as_deref()?;
    if reply.body_id.as_deref() != Some(id) {
        return Some(format!("the reply to {id} has the body of {:?}", reply.body_id));
    }
    let request = ledger.requests.get(id)?;
    let differs = reply.status == Some(200)
        && (request.city, request.location) != (reply.city.as_deref(), reply.location.as_deref());
    differs.then(|| format!("the reply to {id} is about {:?}, not {:?}", reply.location, request.location))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::Invariant;
    use crate::checker::sample::{Sample, good_answer};

    fn violations(answer: Answer) -> usize {
        let mut sample = Sample::default();
        sample.answer("a", answer);
        sample.violations(Invariant::OwnAnswers)
    }

    #[test]
    fn a_body_of_another_request_is_noticed() {
        assert_eq!(violations(good_answer("a")), 0);
        assert_eq!(violations(Answer { body_id: Some("b".to_owned()), ..good_answer("a") }), 1);
        assert_eq!(violations(Answer { location: Some("quarter b".to_owned()), ..good_answer("a") }), 1);
    }

    #[test]
    fn a_swapped_reply_is_noticed_on_its_lane_even_if_nobody_got_it() {
        let mut sample = Sample::default();
        sample.request("a", 0);
        sample.reply_about("a", "b", 5);

        assert_eq!(sample.violations(Invariant::OwnAnswers), 1);
    }

    #[test]
    fn one_id_for_two_callers_is_noticed() {
        let mut sample = Sample::default();
        sample.answer("a", good_answer("a"));
        assert_eq!(sample.violations(Invariant::AtMostOneCaller), 0);

        sample.answer("b", good_answer("a"));

        assert_eq!(sample.violations(Invariant::AtMostOneCaller), 1);
    }
}
