use super::Finding;
use super::ledger::Ledger;
use crate::history::{Call, Event, EventKind, Micros, Outcome, Process, Role, WritingKind};
use crate::observe::metrics::total;
use crate::schedule::Fault;
use crate::setup::{REPLIES, named_lane};

/// Checks every process that ran to the end. The counts of a killed process are lost.
pub(super) fn metrics_logs_and_callers_agree(ledger: &Ledger<'_>, finding: &mut Finding) {
    let mut checked = 0;
    for (process, ingress) in ledger.ended_in_order(Role::Ingress) {
        checked += 1;
        statuses(ledger, process, ingress, finding);
        lane(ledger, process, ingress, finding);
    }
    for (process, worker) in ledger.ended_in_order(Role::Worker) {
        checked += 1;
        works(ledger, process, worker, finding);
    }
    finding.demand(checked > 0, || "no process returned its metrics".to_owned());
}

/// Compares the answers of each status: counted by ingress, logged by ingress, seen by callers.
fn statuses(ledger: &Ledger<'_>, process: usize, ingress: &Process, finding: &mut Finding) {
    let name = &ingress.name;
    for status in 200..600 {
        let counted = of_status(ingress, status);
        let logged = ledger
            .events(process, |kind| matches!(kind, EventKind::Answered { status: it, .. } if *it == status));
        let answered = |call: &&Call| status_of(call) == Some(status) && call.process == process;
        let seen = ledger.history.calls.iter().filter(answered).count();
        if counted + logged + seen > 0 {
            finding.demand(counted == logged, || {
                format!("{name} counted {counted} answers {status} and logged {logged}")
            });
            finding.demand(seen <= counted, || {
                format!("{name} counted {counted} answers {status}, callers saw {seen}")
            });
        }
    }
    let calls: Vec<&Call> = ledger.history.calls.iter().filter(|call| call.process == process).collect();
    let answered = calls.iter().filter(|call| status_of(call).is_some()).count();
    let counted = count(ingress, "http_requests_total") + count(ingress, "http_requests_abandoned_total");
    finding.demand((answered..=calls.len()).contains(&counted), || {
        format!("{name} counted {counted} calls; {} were made and {answered} answered", calls.len())
    });
}

fn of_status(ingress: &Process, status: u64) -> usize {
    let label = format!("status=\"{status}\"");
    let series = ingress.metrics.iter().filter(|(name, _)| name.starts_with("http_requests_total"));
    series.filter(|(name, _)| name.contains(&label)).map(|(_, value)| *value as usize).sum()
}

fn status_of(call: &Call) -> Option<u64> {
    match &call.outcome {
        Outcome::Answered(answer) => Some(answer.status.into()),
        _ => None,
    }
}

/// Every reply on a gateway's lane was delivered, late, foreign or none. Around a loss, and
/// while it started, a gateway may have seen more or less than the harness. If the server of its lane changed, it read
/// the lane again from its beginning, and may have counted what was on it again.
fn lane(ledger: &Ledger<'_>, process: usize, ingress: &Process, finding: &mut Finding) {
    let lane = if ingress.name == "ingress-a" { named_lane() } else { REPLIES.to_owned() };
    let on_it = || ledger.history.entries.iter().filter(|entry| entry.stream == lane);
    let stored = on_it().filter(|entry| entry.added() >= ingress.started).count();
    let uncertain = on_it().filter(|entry| is_uncertain(ledger, ingress, entry.added())).count();
    let delivered = count(ingress, "streamgate_request_duration_seconds_count");
    let late = count(ingress, "streamgate_replies_late_total");
    let foreign = count(ingress, "streamgate_replies_foreign_total");
    let garbage = count(ingress, "streamgate_replies_undecodable_total");
    let counted = delivered + late + foreign + garbage;
    let read_again = |at: Micros| {
        let later = |event: &&Event| {
            event.process == process && event.kind == EventKind::StartedOver && event.at >= at
        };
        ledger.history.events.iter().filter(later).count()
    };
    let again: usize = on_it().map(|entry| read_again(entry.added())).sum();
    let possible = stored.saturating_sub(uncertain)..=stored + uncertain + again;
    finding.demand(possible.contains(&counted), || {
        format!(
            "{} read {counted} replies ({delivered} delivered, {late} late, {foreign} foreign, {garbage} no \
             replies); its lane had {stored}, {uncertain} of them near a data loss or near its start, and up to \
             {again} were read again",
            ingress.name
        )
    });
    let written = ledger
        .history
        .writings
        .iter()
        .filter(|it| it.kind == WritingKind::Garbage && it.stream == lane && it.at >= ingress.started);
    let (sure, all): (Vec<_>, Vec<_>) = written.partition(|it| !is_uncertain(ledger, ingress, it.at));
    let again: usize = sure.iter().chain(&all).map(|it| read_again(it.at)).sum();
    let range = sure.len()..=sure.len() + all.len() + again;
    finding.demand(range.contains(&garbage), || {
        format!(
            "{} counted {garbage} entries that are not replies; the harness wrote {range:?}",
            ingress.name
        )
    });
}

/// A starting gateway looks up the end of its reply lane within this time.
const START: Micros = 3_000_000;

/// A reply stored less than this before a data loss may not have been read.
const UNREAD: Micros = 8_000_000;

fn is_uncertain(ledger: &Ledger<'_>, ingress: &Process, at: Micros) -> bool {
    let starting = (ingress.started.saturating_sub(START)..=ingress.started + START).contains(&at);
    let lost = ledger.history.faults.iter().any(|it| {
        let loses = matches!(it.planned.fault, Fault::FlushAll | Fault::RedisKill);
        loses && (it.from.saturating_sub(UNREAD)..=it.to + START).contains(&at)
    });
    starting || lost
}

/// Compares executions and dead letters, counted and logged. Replies: no more than were stored.
fn works(ledger: &Ledger<'_>, process: usize, worker: &Process, finding: &mut Finding) {
    let name = &worker.consumer;
    let mut agree = |what: &str, metric: &str, logged: usize| {
        let counted = count(worker, metric);
        finding.demand(counted == logged, || format!("{name} counted {counted} {what} and logged {logged}"));
    };
    let executed = ledger.events(process, |kind| matches!(kind, EventKind::Executing { .. }));
    agree("executions", "streamgate_handler_duration_seconds_count", executed);
    let dead_lettered = ledger.events(process, |kind| *kind == EventKind::DeadLettered);
    agree("dead letters", "streamgate_dead_letters_total", dead_lettered);
    let delivered = ledger.events(process, |kind| matches!(kind, EventKind::Delivered { .. }));
    finding.demand(delivered >= executed, || {
        format!("{name} received {delivered} entries but executed {executed}")
    });
    let by_it = |worker: &Option<String>| worker.as_deref() == Some(name.as_str());
    let seen = ledger.history.entries.iter().filter(|entry| entry.stream.starts_with(REPLIES));
    let seen = seen.filter(|entry| by_it(&entry.fields.worker) && entry.added() >= worker.started).count();
    let counted = count(worker, "streamgate_replies_total");
    let erased =
        ledger.history.faults.iter().any(|it| {
            it.to >= worker.started && matches!(it.planned.fault, Fault::FlushAll | Fault::RedisKill)
        });
    finding.demand(counted <= seen || erased, || {
        format!("{name} counted {counted} stored replies, MONITOR saw {seen}")
    });
}

fn count(process: &Process, metric: &str) -> usize {
    total(&process.metrics, metric) as usize
}

#[cfg(test)]
mod tests {
    use crate::checker::Invariant;
    use crate::checker::sample::{Sample, good_answer};
    use crate::history::{EventKind, Role};

    fn violations(sample: &Sample) -> usize {
        sample.violations(Invariant::MetricsReconcile)
    }

    #[test]
    fn answers_that_were_not_counted_or_not_logged_are_noticed() {
        let mut sample = Sample::default();
        let ingress = sample.process("ingress-b", Role::Ingress);
        let series = "http_requests_total{route=\"/x\",status=\"200\"}".to_owned();
        sample.history.processes[ingress].metrics.insert(series, 1.0);
        sample.answer("a", good_answer("a"));
        assert_eq!(violations(&sample), 1, "not logged");

        sample.event(ingress, 5, EventKind::Answered { id: "a".to_owned(), status: 200 });
        assert_eq!(violations(&sample), 0);

        sample.answer("b", good_answer("b"));
        assert_eq!(violations(&sample), 2, "seen more often than counted");
    }

    #[test]
    fn executions_that_were_not_counted_are_noticed() {
        let mut sample = Sample::default();
        let worker = sample.worker("w");
        sample.request("a", 0);
        sample.history.processes[worker].metrics.insert("up".to_owned(), 1.0);
        assert_eq!(violations(&sample), 0);

        sample.deliver(worker, "a", 1, 1);
        sample.execute(worker, "a", 1);

        assert_eq!(violations(&sample), 1);
    }

    #[test]
    fn a_reply_that_a_gateway_did_not_read_is_noticed() {
        let mut sample = Sample::default();
        let ingress = sample.process("ingress-b", Role::Ingress);
        sample.history.processes[ingress].metrics.insert("up".to_owned(), 1.0);
        sample.request("a", 10_000);

        sample.reply("a", 10_005);

        assert_eq!(violations(&sample), 1);
    }

    #[test]
    fn an_entry_may_count_again_only_if_its_lane_was_read_again() {
        let mut sample = Sample::default();
        let ingress = sample.process("ingress-b", Role::Ingress);
        let series = "streamgate_replies_undecodable_total".to_owned();
        sample.history.processes[ingress].metrics.insert(series, 2.0);
        sample.garbage(10_000);
        assert_eq!(violations(&sample), 2, "one entry, counted twice");

        sample.event(ingress, 20_000, EventKind::StartedOver);

        assert_eq!(violations(&sample), 0);
    }
}
