//! Building the binaries, which says that it goes on.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::options::{own_folder, root};
use crate::parts::PAUSE;
use crate::stop::{Interrupted, Stop};
use crate::terminal::say;

/// The profile that `make up` builds with.
const PROFILE: &str = "up";

/// Builds these packages; the folder that their programs are in.
pub(crate) fn build(stop: &Stop, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "--profile", PROFILE]);
    cargo.args(packages.iter().flat_map(|package| ["-p", package])).current_dir(root());
    run(cargo, stop, Duration::from_secs(30), say)?;
    // Beside the folder of this program, whatever profile that was built with.
    Ok(own_folder()?.with_file_name(PROFILE))
}

fn run(mut cargo: Command, stop: &Stop, every: Duration, say: impl Fn(&str)) -> anyhow::Result<()> {
    let spawned = cargo.spawn();
    let mut cargo = spawned.context("cargo cannot be started: install Rust from https://rustup.rs")?;
    let started = Instant::now();
    let mut said = started;
    let status = loop {
        if let Some(status) = cargo.try_wait()? {
            break status;
        }
        if stop.is_asked() {
            let _ = kill(Pid::from_raw(cargo.id() as i32), Signal::SIGTERM);
            break cargo.wait()?;
        }
        if said.elapsed() >= every {
            said = Instant::now();
            say(&format!("still building, for {} s now", started.elapsed().as_secs()));
        }
        thread::sleep(PAUSE);
    };
    if stop.is_asked() {
        return Err(Interrupted("the build was stopped; run it again: it goes on where it stopped").into());
    }
    if !status.success() {
        bail!("cargo build failed: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_long_build_says_that_it_goes_on() {
        let said = Mutex::new(Vec::new());
        let mut build = Command::new("sh");
        build.args(["-c", "sleep 1"]);

        let say = |text: &str| said.lock().expect("not poisoned").push(text.to_owned());
        run(build, &Stop::default(), Duration::from_millis(100), say).expect("built");

        assert_eq!(said.lock().expect("not poisoned")[0], "still building, for 0 s now");
    }

    #[test]
    fn a_build_that_fails_is_told() {
        let error =
            run(Command::new("false"), &Stop::default(), Duration::MAX, |_| ()).expect_err("it fails");

        assert_eq!(error.to_string(), "cargo build failed: exit status: 1");
    }
}
