//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Parser};

/// Starts Redis, proxy and ingress on this machine.
#[derive(Debug, Parser)]
#[command(name = "stack")]
pub(crate) enum Options {
    /// Start the whole product, show its logs, and stop it again on Ctrl-C
    ///
    /// The processes get the environment as it is; these settings are looked at here:
    ///   REDIS_URL=redis://host:6379      use a running Redis, start none
    ///   INGRESS_LISTEN=127.0.0.1:8080    another port; also INGRESS_ADMIN_LISTEN, PROXY_LISTEN,
    ///                                    REDIS_PORT
    ///   INGRESS_LISTEN=0.0.0.0:5009      open to the network; otherwise it is not
    ///   ADMIN_TOKEN=...                  an admin token of yours; otherwise each run makes one
    #[command(verbatim_doc_comment)]
    Up(Up),
    /// Run a command beside a stack of its own, on free ports and without data, and end with its exit code
    ///
    /// The command finds the addresses in INGRESS_URL, INGRESS_ADMIN_URL, PROXY_URL and REDIS_URL, the programs
    /// in STACK_BINARIES, and the settings beside the rest of its environment.
    Run(Run),
    /// Become a program that ends with the process that started it
    #[command(hide = true)]
    Hold {
        parent: i32,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Take ingress and proxy from here instead of building them
    #[arg(long, value_name = "DIR")]
    pub(crate) bin_dir: Option<PathBuf>,

    /// Where servers keep their data
    #[arg(long, value_name = "DIR", default_value_os_t = root().join(".data"))]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Take ingress and proxy from here [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub(crate) bin_dir: Option<PathBuf>,

    /// Settings of the processes, as for env(1)
    #[arg(value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,

    /// What to run
    #[arg(required = true, last = true)]
    pub(crate) command: Vec<OsString>,
}

/// The folder of this workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The folder of this program.
pub(crate) fn own_folder() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    Ok(here.parent().context("this program is nowhere")?.to_owned())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or("a setting is NAME=VALUE; the command stands behind --")?;
    Ok((name.to_owned(), value.to_owned()))
}
