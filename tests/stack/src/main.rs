//! `stack up` is `make up`; `stack run` runs a command beside a stack of its own. See `lib.rs`.

mod options;
mod parts;
mod run;
mod stop;
mod terminal;
mod up;

use std::process::ExitCode;

use clap::Parser;

use self::options::Options;
use self::stop::Stop;
use self::terminal::say;

fn main() -> ExitCode {
    let outcome = match Options::parse() {
        Options::Up(options) => Stop::on_signals().and_then(|stop| up::up(&options, stop)),
        Options::Run(options) => Stop::on_signals().and_then(|stop| run::run(&options, stop)),
        Options::Hold { parent, command } => parts::hold(parent, &command),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
