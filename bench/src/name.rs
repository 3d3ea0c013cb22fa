//! What can be asked for by name: comparisons, which are told as ratios, and trials, which have bounds.

use clap::ValueEnum;
use clap::builder::PossibleValue;

/// The comparisons, in the order in which they are made and told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Gateway, direct handler and NATS at 1 to 256 connections on two processors
    Concurrency,
    /// The same with everything on one processor, and the raw Redis cycle
    OneCore,
    /// Bodies of 0.2, 4 and 60 KB both ways, gateway and NATS
    Bodies,
    /// 1 to 8 ingress replicas on one processor
    Replicas,
    /// None, 100,000 and 1,000,000 finished requests on the stream
    History,
    /// Redis without and with an append-only file
    AppendOnly,
    /// Slots per worker and number of workers
    Workers,
    /// A tenth to ten times the capacity in an open loop
    OpenLoop,
}

/// The trials: each checks bounds, and the program fails if one is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Trial {
    /// Up to ten times the capacity: what is refused, how fast, and how much memory it takes
    Overload,
    /// Redis is killed in each durability setting: what is lost
    Durability,
    /// The same closed loop from loadtest and from wrk: both report the same
    LoadGenerator,
    /// Entries appended to a stream and consumed: the library, plain commands and frameworks
    Streams,
    /// 100 to 10,000 clients of one chat process over Server-Sent Events: memory, latency, messages a second
    Chat,
    /// Events through outbox, relay, group and audit trail of the example, and plain inserts, on both databases
    Events,
}

impl Name {
    /// As the command line, files and documents have it.
    pub fn text(self) -> String {
        text(self)
    }
}

impl Trial {
    /// As the command line, files and documents have it.
    pub fn text(self) -> String {
        text(self)
    }
}

fn text(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What `--only` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Experiment {
    /// One thing against another.
    Comparison(Name),
    /// Something with bounds.
    Trial(Trial),
}

impl ValueEnum for Experiment {
    fn value_variants<'a>() -> &'a [Self] {
        use Experiment::{Comparison, Trial as Tried};
        &[
            Comparison(Name::Concurrency),
            Comparison(Name::OneCore),
            Comparison(Name::Bodies),
            Comparison(Name::Replicas),
            Comparison(Name::History),
            Comparison(Name::AppendOnly),
            Comparison(Name::Workers),
            Comparison(Name::OpenLoop),
            Tried(Trial::Overload),
            Tried(Trial::Durability),
            Tried(Trial::LoadGenerator),
            Tried(Trial::Streams),
            Tried(Trial::Chat),
            Tried(Trial::Events),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Comparison(name) => name.to_possible_value(),
            Self::Trial(trial) => trial.to_possible_value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_comparison_and_trial_can_be_asked_for() {
        let all = Name::value_variants().iter().map(|name| Experiment::Comparison(*name));
        let all = all.chain(Trial::value_variants().iter().map(|trial| Experiment::Trial(*trial)));

        assert_eq!(all.collect::<Vec<_>>(), Experiment::value_variants());
    }
}
