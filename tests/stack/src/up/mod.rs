//! `stack up`: the whole product on this machine, with its logs, until Ctrl-C.

mod address;
mod build;
mod earlier;
mod launch;
mod port_owner;
mod redis_url;
mod server;
mod settings;
pub(crate) mod system;
mod welcome;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use stack::http;

use self::launch::Launch;
use self::settings::Settings;
use crate::options::{Up, root};
use crate::parts::{GRACE, PAUSE, held};
use crate::stop::Stop;
use crate::terminal::say;

const READY_PATIENCE: Duration = Duration::from_secs(30);

/// A run of `make up`.
struct Run {
    settings: Settings,
    binaries: PathBuf,
    launch: Launch,
}

/// Starts everything and waits for a signal, or for a process that ends.
pub(crate) fn up(options: Up, stop: Stop) -> anyhow::Result<ExitCode> {
    let data = std::path::absolute(options.data_dir.unwrap_or_else(|| root().join(".data")))?;
    let build = options.bin_dir.is_none();
    let binaries = options.bin_dir.unwrap_or_default();
    let settings = Settings::new(|name| std::env::var(name).ok());
    let mut run = Run { settings, binaries, launch: Launch::new(data, stop) };
    let outcome = run.go(build);
    Ok(run.launch.end(outcome))
}

impl Run {
    fn go(&mut self, build: bool) -> anyhow::Result<ExitCode> {
        self.settings.check_ports(&self.launch.data)?;
        self.settings.check_redis()?;
        if build {
            say("building ingress and proxy: minutes the first time, seconds later");
            self.binaries = build::build(&self.launch.parts.stop, &["ingress", "proxy"])?;
        }
        self.settings.make_admin_token()?;
        if self.settings.starts_redis() {
            say("starting Redis");
            self.launch.redis(self.settings.redis_port())?;
        }
        say("starting proxy");
        self.start_binary("proxy", "PROXY_LISTEN")?;
        say("starting ingress");
        self.start_binary("ingress", "INGRESS_LISTEN")?;
        welcome::welcome(&self.settings, &self.binaries, &mut self.launch.parts)?;
        loop {
            self.launch.parts.check()?;
            thread::sleep(PAUSE);
        }
    }

    fn start_binary(&mut self, name: &'static str, variable: &str) -> anyhow::Result<()> {
        let url = self.settings.url(variable);
        let mut command = held(&self.binaries.join(name))?;
        command.envs(self.settings.for_processes());
        self.launch.start(name, name, command, GRACE)?;
        let what = format!("{name} at {url}/readyz");
        self.launch.parts.until(&what, READY_PATIENCE, || http::is_ready(&url))
    }
}
