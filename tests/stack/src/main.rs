//! `stack up` is `make up`; `stack run` runs a command beside a stack of its own, `stack redis` beside Redis alone;
//! `stack system` starts an example.
//! See `lib.rs`.

mod options;
mod parts;
mod run;
mod stop;
mod terminal;
mod up;

use std::process::ExitCode;

use self::options::{HELP, Options};
use self::stop::Stop;
use self::terminal::say;

fn main() -> ExitCode {
    let outcome = Options::parse(std::env::args_os().skip(1)).and_then(|options| match options {
        Options::Help => {
            say(HELP);
            Ok(ExitCode::SUCCESS)
        }
        Options::Up(options) => up::up(options, Stop::on_signals()?),
        Options::Run(options) => run::run(&options, Stop::on_signals()?),
        Options::System(options) => up::system::system(options, Stop::on_signals()?),
        Options::Redis(command) => run::run_with_redis(&command, Stop::on_signals()?),
        Options::Hold(parent, command) => parts::hold(parent, &command),
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
