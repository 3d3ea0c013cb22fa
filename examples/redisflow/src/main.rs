//! The program `redisflow`: see the library.

use std::process::ExitCode;

use redisflow::settings::{Cli, Command};
use redisflow::{consumer, demo, inspect, producer, serve};
use service::{config, logs};

fn main() -> ExitCode {
    let Cli { command } = config::read();
    let done = match command {
        Command::Producer(args) => {
            let (flow, service) = (args.flow.clone(), args.service.clone());
            return serve::serve("redisflow-producer", &flow, &service, |flow| {
                Box::pin(producer::run(args, flow))
            });
        }
        Command::Consumer(args) => {
            let (flow, service) = (args.flow.clone(), args.service.clone());
            return serve::serve("redisflow-consumer", &flow, &service, |flow| {
                Box::pin(consumer::run(args, flow))
            });
        }
        Command::Inspect(args) => inspect::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Healthcheck(args) => args.check.run(args.listen).map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logs::print_error(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
