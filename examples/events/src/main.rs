//! The program `events`: reads its settings and runs what they name.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use events::auth::{Account, hash};
use events::config::{AccountSettings, Cli, Command, check_password};
use events::{api, consume, inspect, load_test, store};
use service::config::ProcessArgs;
use service::logs::{self, LogFormat};
use service::{config, http, process, shutdown};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads of a process: requests and transactions wait more than they compute.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let Cli { command } = config::read();
    let process = match &command {
        Command::Api(settings) => Some(&settings.process),
        Command::Consumer(settings) => Some(&settings.process),
        Command::ConsumerGroup(settings) => Some(&settings.process),
        Command::LoadTest(_) | Command::Inspect(_) | Command::Account(_) | Command::Healthcheck(_) => None,
    };
    let _last_lines = init_logs(process);
    process::log_panics();
    process::exit_code(run(command))
}

/// Commands for people log their errors only.
fn init_logs(process: Option<&ProcessArgs>) -> Option<logs::LastLines> {
    match process {
        Some(process) => Some(logs::init_logs(process.log_format, &process.log_filter)),
        None => Some(logs::init_logs(LogFormat::Pretty, &"error".parse().ok()?)),
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let runtime = process::runtime(THREADS).context("the runtime cannot start")?;
    match command {
        Command::Api(settings) => {
            let listener = http::listen(settings.events_listen, "EVENTS_LISTEN")?;
            tracing::info!(
                version = env!("CARGO_PKG_VERSION"),
                api = %listener.local_addr()?,
                database = %settings.database.database_url,
                redis = %settings.redis.redis_url,
                "listening"
            );
            let stop = shutdown::on_signal(settings.process.shutdown_grace.0)?;
            runtime.block_on(api::run(*settings, listener, stop))
        }
        Command::Consumer(settings) => runtime.block_on(consume::run_tally(*settings)),
        Command::ConsumerGroup(settings) => runtime.block_on(consume::run_group(*settings)),
        Command::LoadTest(settings) => runtime.block_on(load_test::run(*settings)),
        Command::Inspect(settings) => runtime.block_on(inspect::run(&settings)),
        Command::Account(settings) => runtime.block_on(account(*settings)),
        Command::Healthcheck(settings) => {
            settings.question.run(settings.events_listen).context("not healthy")
        }
    }
}

/// Stores an account with the password in the first line of standard input.
async fn account(settings: AccountSettings) -> anyhow::Result<()> {
    let mut password = String::new();
    std::io::stdin().take(4_096).read_to_string(&mut password).context("the password cannot be read")?;
    let password = password.lines().next().unwrap_or_default();
    check_password(password).map_err(|rule| anyhow!("the password {rule}"))?;
    let password_hash = hash(password).map_err(anyhow::Error::msg)?;
    let store = store::open(&settings.database).await.context("the database cannot be opened")?;
    let account = Account { username: settings.name, role: settings.role, password_hash };
    Ok(store.put_account(&account).await?)
}
