//! What is compared with what, a file for each comparison; and trials, which check bounds.

mod append_only;
mod bodies;
mod chat;
mod concurrency;
mod durability;
mod events;
mod history;
mod load_generator;
mod loadtest;
mod one_core;
mod open_loop;
mod outcome;
mod overload;
mod replicas;
mod streams;
mod trials;
mod workers;

use jiff::Timestamp;

pub use self::outcome::Outcome;
pub use self::trials::{judge, try_out};
use crate::lab::Lab;
use crate::lab::machine::Machine;
use crate::name::Name;
use crate::options::RunOptions;
use crate::results::{Results, Series};

/// Makes the measurements of a comparison.
///
/// # Errors
/// A part does not start, a measurement fails, or others are busy all the time.
pub async fn compare(name: Name, options: &RunOptions) -> anyhow::Result<Results> {
    let mut lab = Lab::open(options.clone())?;
    let series: Vec<Series> = match name {
        Name::Concurrency => concurrency::run(&lab).await?,
        Name::OneCore => one_core::run(&mut lab).await?,
        Name::Bodies => bodies::run(&lab).await?,
        Name::Replicas => replicas::run(&mut lab).await?,
        Name::History => history::run(&lab).await?,
        Name::AppendOnly => append_only::run(&lab).await?,
        Name::Workers => workers::run(&lab).await?,
        Name::OpenLoop => open_loop::run(&lab).await?,
    };
    Ok(Results {
        experiment: name.text(),
        ended: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        machine: Machine::describe(&[&options.redis_server, &options.nats_server, &options.wrk]),
        rounds: options.rounds,
        seconds: options.seconds,
        noisy: options.allow_noise,
        series,
    })
}
