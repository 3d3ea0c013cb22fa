//! What is compared with what, a file for each comparison.

mod bodies;
mod concurrency;
mod durability;
mod history;
mod one_core;
mod overload;
mod replicas;
mod workers;

use clap::ValueEnum;
use jiff::Timestamp;

use crate::lab::Lab;
use crate::lab::machine::Machine;
use crate::options::RunOptions;
use crate::results::{Results, Series};

/// The experiments, in the order in which they are made and told.
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
    Durability,
    /// Slots per worker and number of workers
    Workers,
    /// A tenth to ten times the capacity in an open loop
    Overload,
}

impl Name {
    /// As the command line, files and documents have it.
    pub fn text(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Makes the measurements.
    ///
    /// # Errors
    /// A part does not start, a measurement fails, or others are busy all the time.
    pub async fn run(self, options: &RunOptions) -> anyhow::Result<Results> {
        let mut lab = Lab::open(options.clone())?;
        let series: Vec<Series> = match self {
            Self::Concurrency => concurrency::run(&lab).await?,
            Self::OneCore => one_core::run(&mut lab).await?,
            Self::Bodies => bodies::run(&lab).await?,
            Self::Replicas => replicas::run(&mut lab).await?,
            Self::History => history::run(&lab).await?,
            Self::Durability => durability::run(&lab).await?,
            Self::Workers => workers::run(&lab).await?,
            Self::Overload => overload::run(&lab).await?,
        };
        Ok(Results {
            experiment: self.text(),
            ended: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            machine: Machine::describe(&[&options.redis_server, &options.nats_server, &options.wrk]),
            rounds: options.rounds,
            seconds: options.seconds,
            noisy: options.allow_noise,
            series,
        })
    }
}
