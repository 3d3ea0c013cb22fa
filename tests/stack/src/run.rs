//! `stack run`: a command beside a stack of its own; `stack redis`: beside a Redis server alone.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stack::redis::{self, DURABLE, SERVER_VARIABLE};
use stack::{Process, free_address, http};

use crate::options::{Run, own_folder};
use crate::parts::{GRACE, PAUSE, Parts, REDIS_GRACE, held};
use crate::stop::Stop;

const START_PATIENCE: Duration = Duration::from_secs(60);

/// Starts everything, runs the command, stops everything; the exit code is the command's.
pub(crate) fn run(options: &Run, stop: Stop) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("streamgate-stack-").tempdir()?;
    let binaries = options.bin_dir.clone().map_or_else(own_folder, Ok)?;
    let mut parts = Parts::new(stop);
    let code = start(&mut parts, options, &binaries, folder.path()).and_then(|addresses| {
        let mut command = Command::new(&options.command[0]);
        command.args(&options.command[1..]).env("STACK_BINARIES", &binaries);
        command.envs(options.settings.iter().cloned()).envs(addresses);
        attend(command, &mut parts)
    });
    parts.stop(|_| ());
    code
}

/// Starts Redis, unless the environment names one, runs the command, stops Redis; the exit code is the command's.
pub(crate) fn run_with_redis(command: &[OsString], stop: Stop) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("streamgate-redis-").tempdir()?;
    let mut parts = Parts::new(stop);
    let is_given = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    // A program of this workspace is beside this one.
    let beside = own_folder()?.join(&command[0]);
    let mut program = Command::new(if beside.is_file() { beside.as_os_str() } else { &command[0] });
    program.args(&command[1..]);
    let start = |parts: &mut Parts| match ["REDIS_CONNECTION_STRING", "REDIS_URL"].into_iter().any(is_given) {
        true => Ok(program),
        false => {
            let (_, url) = start_redis(parts, folder.path())?;
            program.env("REDIS_URL", url);
            Ok(program)
        }
    };
    let code = start(&mut parts).and_then(|program| attend(program, &mut parts));
    parts.stop(|_| ());
    code
}

/// Runs the command on this terminal.
fn attend(mut command: Command, parts: &mut Parts) -> anyhow::Result<ExitCode> {
    let started = command.spawn();
    let code =
        finish(started.with_context(|| format!("{:?} cannot be started", command.get_program()))?, parts)?;
    if !parts.stop.is_asked() {
        // A process that ended meanwhile did what it must not.
        parts.check()?;
    }
    Ok(code)
}

/// Starts a Redis server on a free port with its files in `folder`: its program and its URL.
fn start_redis(parts: &mut Parts, folder: &Path) -> anyhow::Result<(PathBuf, String)> {
    let server = redis::find()?;
    let port = free_address()?.port();
    let mut command = bare(&server)?;
    redis::listen(&mut command, port, folder);
    command.args(DURABLE);
    parts.add(Process::start("redis", command)?, REDIS_GRACE);
    parts.until("Redis", START_PATIENCE, || redis::answers(port))?;
    Ok((server, format!("redis://127.0.0.1:{port}")))
}

/// Starts Redis, proxy and ingress; the variables that name their addresses.
fn start(
    parts: &mut Parts,
    options: &Run,
    binaries: &Path,
    folder: &Path,
) -> anyhow::Result<[(&'static str, String); 5]> {
    let (server, redis_url) = start_redis(parts, folder)?;
    let mut part = |name: &str, listens: &[&str], fields: &[&str]| {
        let mut command = bare(&binaries.join(name))?;
        command.envs(options.settings.iter().cloned()).env("LOG_FORMAT", "json").env("REDIS_URL", &redis_url);
        command.envs(listens.iter().map(|variable| (variable, "127.0.0.1:0")));
        let mut process = Process::start(name, command)?;
        let addresses = process.named(fields)?;
        let urls: Vec<_> = addresses.iter().map(|address| format!("http://{address}")).collect();
        parts.add(process, GRACE);
        let last = urls.last().cloned().unwrap_or_default();
        parts.until(name, START_PATIENCE, || http::is_ready(&last))?;
        anyhow::Ok(urls)
    };
    let proxy = part("proxy", &["PROXY_LISTEN"], &["operations"])?.swap_remove(0);
    let mut ingress = part("ingress", &["INGRESS_LISTEN", "INGRESS_ADMIN_LISTEN"], &["api", "admin"])?;
    Ok([
        (SERVER_VARIABLE, server.display().to_string()),
        ("REDIS_URL", redis_url),
        ("PROXY_URL", proxy),
        ("INGRESS_ADMIN_URL", ingress.swap_remove(1)),
        ("INGRESS_URL", ingress.swap_remove(0)),
    ])
}

/// A process that ends with this one and knows only what it is told.
fn bare(program: &Path) -> anyhow::Result<Command> {
    let mut command = held(program)?;
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    Ok(command)
}

/// The command's exit code; if everything is to stop, it is told so first.
pub(crate) fn finish(mut command: Child, parts: &Parts) -> anyhow::Result<ExitCode> {
    let mut told = false;
    loop {
        if let Some(status) = command.try_wait()? {
            let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
            return Ok(ExitCode::from(code as u8));
        }
        if parts.stop.is_asked() && !told {
            told = true;
            let _ = kill(Pid::from_raw(command.id() as i32), Signal::SIGTERM);
        }
        thread::sleep(PAUSE);
    }
}
