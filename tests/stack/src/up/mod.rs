//! `stack up`: the whole product on this machine, with its logs, until Ctrl-C.

mod address;
mod build;
mod earlier;
mod port_owner;
mod redis_url;
mod server;
mod settings;
mod welcome;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use stack::{Process, http, redis};

use self::earlier::Record;
use self::server::Server;
use self::settings::Settings;
use crate::options::{Up, root};
use crate::parts::{GRACE, PAUSE, Parts, REDIS_GRACE, held};
use crate::stop::{Interrupted, Stop};
use crate::terminal::{say, show};

const READY_PATIENCE: Duration = Duration::from_secs(30);
/// Redis reads what it held first.
const LOADING_PATIENCE: Duration = Duration::from_secs(60);

/// A run of `make up`.
struct Run {
    settings: Settings,
    data: PathBuf,
    binaries: PathBuf,
    parts: Parts,
    record: Record,
}

/// Starts everything and waits for a signal, or for a process that ends.
pub(crate) fn up(options: Up, stop: Stop) -> anyhow::Result<ExitCode> {
    let data = std::path::absolute(options.data_dir.unwrap_or_else(|| root().join(".data")))?;
    let record = Record::new(&data);
    let build = options.bin_dir.is_none();
    let binaries = options.bin_dir.unwrap_or_default();
    let settings = Settings::new(|name| std::env::var(name).ok());
    let mut run = Run { settings, data, binaries, parts: Parts::new(stop), record };
    let outcome = run.go(build);
    let code = match &outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    };
    if let Some(text) = outcome.err().map(|error| format!("{error:#}")).filter(|text| !text.is_empty()) {
        say(&text);
    }
    let started = run.parts.any();
    run.parts.stop(say);
    run.record.remove();
    if started {
        say("stopped");
    }
    Ok(code)
}

impl Run {
    fn go(&mut self, build: bool) -> anyhow::Result<()> {
        self.settings.check_ports(&self.data)?;
        self.settings.check_redis()?;
        if build {
            say("building ingress and proxy: minutes the first time, seconds later");
            self.binaries = build::build(&self.parts.stop)?;
        }
        self.settings.make_admin_token()?;
        if self.settings.starts_redis() {
            say("starting Redis");
            self.start_redis(self.settings.redis_port())?;
        }
        say("starting proxy");
        self.start_binary("proxy", "PROXY_LISTEN")?;
        say("starting ingress");
        self.start_binary("ingress", "INGRESS_LISTEN")?;
        welcome::welcome(&self.settings, &self.binaries, &mut self.parts)?;
        loop {
            self.parts.check()?;
            thread::sleep(PAUSE);
        }
    }

    fn start_redis(&mut self, port: u16) -> anyhow::Result<()> {
        let server = Server::find(&self.data)?;
        self.start("redis", server.command(port)?, REDIS_GRACE)?;
        let what = format!("Redis on port {port} with the data in {}", server.folder.display());
        self.parts.until(&what, LOADING_PATIENCE, || redis::answers(port))?;
        Ok(server.sign()?)
    }

    fn start_binary(&mut self, name: &'static str, variable: &str) -> anyhow::Result<()> {
        let url = self.settings.url(variable);
        let mut command = held(&self.binaries.join(name))?;
        command.envs(self.settings.for_processes());
        self.start(name, command, GRACE)?;
        self.parts.until(&format!("{name} at {url}/readyz"), READY_PATIENCE, || http::is_ready(&url))
    }

    /// Starts a part whose lines are shown behind its name.
    fn start(&mut self, name: &'static str, command: Command, grace: Duration) -> anyhow::Result<()> {
        let process = Process::start_with(name, command, move |line| show(name, line))?;
        self.record.add(name, process.pid())?;
        self.parts.add(process, grace);
        Ok(())
    }
}
