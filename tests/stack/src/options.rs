//! The command line; read by hand, because `make up` builds whatever reads it before it can say anything.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// What `--help` says.
pub(crate) const HELP: &str = "\
stack up [--bin-dir DIR] [--data-dir DIR]
    Starts Redis, proxy and ingress on this machine, shows their logs, and stops them on Ctrl-C.
    DIR of --bin-dir has ingress and proxy, which are built otherwise; DIR of --data-dir keeps what Redis
    holds (.data). The processes get the environment as it is; these settings are looked at here:
      REDIS_URL=redis://host:6379      use a running Redis, start none
      INGRESS_LISTEN=127.0.0.1:8080    another port; also INGRESS_ADMIN_LISTEN, PROXY_LISTEN, REDIS_PORT
      INGRESS_LISTEN=0.0.0.0:5009      open to the network; otherwise it is not
      ADMIN_TOKEN=...                  an admin token of yours; otherwise each run makes one

stack run [--bin-dir DIR] [NAME=VALUE]... -- COMMAND...
    Runs a command beside Redis, proxy and ingress of its own, on free ports, and ends with its exit code.
    NAME=VALUE is a setting of the processes. The command finds the addresses in INGRESS_URL, INGRESS_ADMIN_URL,
    PROXY_URL and REDIS_URL, the programs in STACK_BINARIES, and the settings in its environment.

stack system NAME [--bin-dir DIR] [--data-dir DIR] [--postgres] [NAME=VALUE]... [-- COMMAND...]
    Starts a system of examples/ (chat, events) with a Redis of its own, or with that of REDIS_URL, and stops it on
    Ctrl-C. A system with a database uses a file of SQLite, or with --postgres a server in a temporary folder.
    What Redis holds stays in DIR of --data-dir (.data/NAME). With a command: as stack run, with an empty Redis; the
    command finds the addresses of the parts in variables such as CHAT_1_URL.

stack redis -- COMMAND...
    Runs a command on this terminal beside a Redis server of its own, whose data goes with it, and ends with the
    command's exit code. REDIS_URL tells the command the address. If REDIS_URL or REDIS_CONNECTION_STRING is set,
    no server is started. A program beside this one needs no path.";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Options {
    Help,
    Up(Up),
    Run(Run),
    System(System),
    /// Run this command beside Redis.
    Redis(Vec<OsString>),
    /// Become a program that ends with the process that started it, whose id this is.
    Hold(i32, Vec<OsString>),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Up {
    /// Where ingress and proxy are; they are built if this is not said.
    pub(crate) bin_dir: Option<PathBuf>,
    /// Where servers keep their data.
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where ingress and proxy are, if not beside this program.
    pub(crate) bin_dir: Option<PathBuf>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) command: Vec<OsString>,
}

impl Options {
    /// Those on a command line, without the program's name.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> anyhow::Result<Self> {
        let mut words = words.into_iter().collect::<Vec<_>>().into_iter();
        let first = words.next().unwrap_or_default();
        match first.to_str() {
            Some("up") => Ok(Up::parse(words)?.map_or(Self::Help, Self::Up)),
            Some("run") => Ok(Run::parse(words)?.map_or(Self::Help, Self::Run)),
            Some("system") => Ok(System::parse(words)?.map_or(Self::Help, Self::System)),
            Some("redis") => match words.next() {
                Some(word) if word.to_str().is_some_and(asks_for_help) => Ok(Self::Help),
                Some(separator) if separator == "--" && words.len() > 0 => Ok(Self::Redis(words.collect())),
                _ => bail!("stack redis needs a command behind --"),
            },
            Some("hold") => {
                let parent = words.next().and_then(|word| word.to_str()?.parse().ok());
                Ok(Self::Hold(parent.context("hold needs a process id")?, words.collect()))
            }
            Some(word) if asks_for_help(word) => Ok(Self::Help),
            _ => bail!("stack up, run, redis or system? stack --help tells more"),
        }
    }
}

fn asks_for_help(word: &str) -> bool {
    ["help", "-h", "--help"].contains(&word)
}

impl Up {
    /// `None`: the help is asked for.
    fn parse(mut words: impl Iterator<Item = OsString>) -> anyhow::Result<Option<Self>> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            let folder = match word.to_str() {
                Some(word) if asks_for_help(word) => return Ok(None),
                Some("--bin-dir") => &mut options.bin_dir,
                Some("--data-dir") => &mut options.data_dir,
                _ => bail!("stack up knows no {}; stack --help tells more", word.display()),
            };
            *folder =
                Some(words.next().with_context(|| format!("{} needs a folder", word.display()))?.into());
        }
        Ok(Some(options))
    }
}

impl Run {
    /// `None`: the help is asked for.
    fn parse(mut words: impl Iterator<Item = OsString>) -> anyhow::Result<Option<Self>> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            match word.to_str() {
                Some(word) if asks_for_help(word) => return Ok(None),
                Some("--bin-dir") => {
                    options.bin_dir = Some(words.next().context("--bin-dir needs a folder")?.into())
                }
                Some("--") => options.command.extend(words.by_ref()),
                Some(text) => {
                    let setting = text.split_once('=');
                    let (name, value) =
                        setting.context("a setting is NAME=VALUE; the command stands behind --")?;
                    options.settings.push((name.to_owned(), value.to_owned()));
                }
                None => bail!("{} is no text", word.display()),
            }
        }
        if options.command.is_empty() {
            bail!("stack run needs a command behind --");
        }
        Ok(Some(options))
    }
}

/// A system of `examples/`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct System {
    pub(crate) name: String,
    /// Where its programs are; they are built if this is not said and there is no command.
    pub(crate) bin_dir: Option<PathBuf>,
    /// Where Redis keeps its data.
    pub(crate) data_dir: Option<PathBuf>,
    /// A PostgreSQL server is started instead of a file of SQLite.
    pub(crate) postgres: bool,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) command: Vec<OsString>,
}

impl System {
    fn parse(words: impl Iterator<Item = OsString>) -> anyhow::Result<Option<Self>> {
        let mut words = words.peekable();
        let name = words.next_if(|word| !word.to_str().is_some_and(asks_for_help)).unwrap_or_default();
        let mut options = Self { name: name.to_string_lossy().into_owned(), ..Self::default() };
        while let Some(word) = words.next() {
            let mut folder = || anyhow::Ok(Some(words.next().context("a folder is missing")?.into()));
            match word.to_str() {
                Some(word) if asks_for_help(word) => return Ok(None),
                Some("--bin-dir") => options.bin_dir = folder()?,
                Some("--data-dir") => options.data_dir = folder()?,
                Some("--postgres") => options.postgres = true,
                Some("--") => options.command.extend(words.by_ref()),
                text => {
                    let setting = text.and_then(|text| text.split_once('='));
                    let (name, value) =
                        setting.context("a setting is NAME=VALUE; the command stands behind --")?;
                    options.settings.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Ok(Some(options))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> anyhow::Result<Options> {
        Options::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_command_may_have_options_of_its_own() {
        let run = parse("run --bin-dir there A=b=c -- make --bin-dir here D=e").expect("right");

        let command = ["make", "--bin-dir", "here", "D=e"].map(OsString::from).into();
        let settings = vec![("A".to_owned(), "b=c".to_owned())];
        assert_eq!(run, Options::Run(Run { bin_dir: Some("there".into()), settings, command }));
    }

    #[test]
    fn the_help_is_told_wherever_it_is_asked_for() {
        for line in [
            "--help",
            "help",
            "up --help",
            "up -h",
            "up --data-dir there --help",
            "run --help",
            "system --help",
            "system chat -h",
        ] {
            assert_eq!(parse(line).expect("right"), Options::Help, "{line}");
        }
        let run = parse("run -- make --help").expect("right");
        assert!(matches!(run, Options::Run(run) if run.command.len() == 2), "the command's own option");
    }

    #[test]
    fn a_system_runs_alone_or_beside_a_command() {
        let alone = parse("system chat --data-dir there CHAT_KEPT=5").expect("right");
        let beside = parse("system chat -- sh A=b").expect("right");

        let settings = vec![("CHAT_KEPT".to_owned(), "5".to_owned())];
        let (name, data_dir) = ("chat".to_owned(), Some("there".into()));
        assert_eq!(
            alone,
            Options::System(System { name: name.clone(), data_dir, settings, ..System::default() })
        );
        let command = ["sh", "A=b"].map(OsString::from).into();
        assert_eq!(beside, Options::System(System { name, command, ..System::default() }));
    }

    #[test]
    fn what_is_not_known_is_told() {
        let told = |line| parse(line).expect_err("wrong").to_string();

        assert_eq!(told("up --port"), "stack up knows no --port; stack --help tells more");
        assert_eq!(told("up --data-dir"), "--data-dir needs a folder");
        assert_eq!(told("run make"), "a setting is NAME=VALUE; the command stands behind --");
        assert_eq!(told("run A=b"), "stack run needs a command behind --");
        assert_eq!(told("system chat --data-dir"), "a folder is missing");
        assert_eq!(told("redis --"), "stack redis needs a command behind --");
        assert_eq!(told("redis make"), "stack redis needs a command behind --");
        assert_eq!(told("down"), "stack up, run, redis or system? stack --help tells more");
    }
}
