//! `stack system NAME`: a system of `examples/` with its Redis, until Ctrl-C or beside a command.

use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use stack::{Postgres, free_address, http};
use tempfile::TempDir;

use super::address::Address;
use super::build;
use super::launch::Launch;
use super::redis_url;
use super::settings::{REDIS_PATIENCE, refuse_taken};
use crate::options::{System as Options, own_folder, root};
use crate::parts::{GRACE, PAUSE, held};
use crate::run::finish;
use crate::stop::Stop;
use crate::terminal::say;

/// What can be started: a row for each system.
const SYSTEMS: [System; 2] = [
    System {
        name: "chat",
        parts: &[
            Part::replica("chat-1", "chat", "CHAT_LISTEN", "CHAT_LISTEN", "127.0.0.1:5030"),
            Part::replica("chat-2", "chat", "CHAT_LISTEN", "CHAT_2_LISTEN", "127.0.0.1:5031"),
        ],
        database: None,
        hint: "Open both in a browser, join the same room, and write; examples/chat/README.md tells more.",
    },
    System {
        name: "events",
        parts: &[
            Part {
                arguments: &["api"],
                ..Part::replica("events-api", "events", "EVENTS_LISTEN", "EVENTS_LISTEN", "127.0.0.1:3000")
            },
            Part::silent("member-1", "events", &["consumer-group", "--name", "member-1"]),
            Part::silent("member-2", "events", &["consumer-group", "--name", "member-2"]),
            Part::silent("consumer", "events", &["consumer"]),
        ],
        database: Some("DATABASE_URL"),
        hint: "Open /api-docs, or try the curl lines of examples/events/README.md.",
    },
];

struct System {
    name: &'static str,
    /// In the order in which they start.
    parts: &'static [Part],
    /// The variable with the URL of the database, if it has one.
    database: Option<&'static str>,
    /// What a person does next.
    hint: &'static str,
}

/// A process of a system. It gets REDIS_URL.
struct Part {
    /// What stands before its lines. A command finds its address in this name with `_URL`, such as CHAT_1_URL.
    name: &'static str,
    /// Its program, and the package that this is built from.
    program: &'static str,
    arguments: &'static [&'static str],
    /// Where it answers HTTP, with `/readyz`. The launcher does not wait for a part without it.
    listens: Option<Listens>,
}

#[derive(Clone, Copy)]
struct Listens {
    /// The variable that the process reads.
    variable: &'static str,
    /// The variable in which a person names another address.
    setting: &'static str,
    default: &'static str,
}

impl Part {
    const fn replica(
        name: &'static str,
        program: &'static str,
        variable: &'static str,
        setting: &'static str,
        default: &'static str,
    ) -> Self {
        Self { name, program, arguments: &[], listens: Some(Listens { variable, setting, default }) }
    }

    const fn silent(name: &'static str, program: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { name, program, arguments, listens: None }
    }
}

const READY_PATIENCE: Duration = Duration::from_secs(30);
/// If parts end sooner after one was started again, they would end for ever.
const SHORTEST_LIFE: Duration = Duration::from_secs(2);

/// Starts the system and waits for a signal, or runs the command beside it.
pub(crate) fn system(options: Options, stop: Stop) -> anyhow::Result<ExitCode> {
    let names = || SYSTEMS.map(|system| system.name).join(", ");
    let system = SYSTEMS.into_iter().find(|system| system.name == options.name);
    let system = system.ok_or_else(|| anyhow!("stack system knows {}, not {}", names(), options.name))?;
    // A command gets an empty Redis, and so does an empty database.
    let folder = tempfile::Builder::new().prefix("streamgate-system-").tempdir()?;
    let data = match (&options.data_dir, options.command.is_empty()) {
        (Some(data), _) => std::path::absolute(data)?,
        // What Redis keeps belongs to a database that stays.
        (None, true) if !options.postgres => root().join(".data").join(system.name),
        (None, _) => folder.path().to_owned(),
    };
    // It ends after the parts that use it.
    let mut postgres = None;
    let mut launch = Launch::new(data, stop);
    launch.shows_lines = options.command.is_empty();
    let outcome = run(&mut launch, &mut postgres, &system, &options);
    Ok(launch.end(outcome))
}

fn run(
    launch: &mut Launch,
    postgres: &mut Option<(Postgres, TempDir)>,
    system: &System,
    options: &Options,
) -> anyhow::Result<ExitCode> {
    let is_alone = options.command.is_empty();
    let environment = |name: &str| {
        let own = std::env::var(name).ok().filter(|_| is_alone);
        let given = options.settings.iter().rfind(|(it, _)| it == name).map(|(_, value)| value.clone());
        given.or(own).filter(|value| !value.is_empty())
    };
    let places = places(system, is_alone, environment)?;
    let named = places.iter().map(|place| (place.setting, place.text.clone(), place.address.clone()));
    refuse_taken(&named.collect::<Vec<_>>(), &launch.data)?;
    let redis_url = environment("REDIS_URL");
    if let Some(problem) = redis_url.as_deref().and_then(|url| redis_url::problem(url, REDIS_PATIENCE)) {
        bail!("check REDIS_URL: {problem}");
    }
    let binaries = match (&options.bin_dir, is_alone) {
        (Some(folder), _) => folder.clone(),
        (None, true) => {
            let packages: Vec<_> = system.parts.iter().map(|part| part.program).collect();
            say(&format!("building {}: minutes the first time, seconds later", system.name));
            build::build(&launch.parts.stop, &packages)?
        }
        (None, false) => own_folder()?,
    };
    let redis_url = match redis_url {
        Some(url) => url,
        None => {
            let port = free_address()?.port();
            launch.redis(port)?;
            format!("redis://127.0.0.1:{port}")
        }
    };
    let database = match system.database {
        None => None,
        Some(variable) => {
            let url = environment(variable).map_or_else(|| database(options, launch, postgres), Ok)?;
            Some((variable, url))
        }
    };
    let start = |launch: &mut Launch, part: &Part| {
        let mut command = held(&binaries.join(part.program))?;
        if !is_alone {
            command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        }
        command.args(part.arguments).envs(options.settings.iter().cloned()).env("REDIS_URL", &redis_url);
        command.envs(database.iter().map(|(variable, url)| (variable, url)));
        let place = places.iter().find(|place| place.part == part.name);
        if let (Some(listens), Some(place)) = (&part.listens, place) {
            command.env(listens.variable, &place.text);
        }
        launch.start(part.name, part.program, command, GRACE)?;
        let Some(place) = place else { return Ok(()) };
        let url = place.address.url();
        let what = format!("{} at {url}/readyz", part.name);
        launch.parts.until(&what, READY_PATIENCE, || http::is_ready(&url))
    };
    for part in system.parts {
        start(launch, part)?;
    }
    let urls = places.iter().map(|place| (place.part, place.address.url()));
    if is_alone {
        welcome(system, urls, &redis_url);
        return go_on(launch, system, start);
    }
    let mut command = Command::new(&options.command[0]);
    command.args(&options.command[1..]).env("REDIS_URL", redis_url);
    command.envs(urls.map(|(name, url)| (format!("{}_URL", name.to_uppercase().replace('-', "_")), url)));
    let command = command.spawn().with_context(|| format!("{:?} cannot be started", options.command[0]))?;
    let code = finish(command, &launch.parts)?;
    // A process that ended meanwhile did what it must not.
    launch.parts.check()?;
    Ok(code)
}

/// The URL of a database of this run: a file whose data stays, or a server in a temporary folder.
fn database(
    options: &Options,
    launch: &Launch,
    postgres: &mut Option<(Postgres, TempDir)>,
) -> anyhow::Result<String> {
    if !options.postgres {
        std::fs::create_dir_all(&launch.data)?;
        return Ok(format!("sqlite:{}", launch.data.join("database.db").display()));
    }
    let programs = stack::postgres::find()?;
    let folder = tempfile::Builder::new().prefix("streamgate-postgres-").tempdir()?;
    let server = Postgres::start_on_port(&programs, folder.path(), free_address()?.port())?;
    let url = server.url("postgres");
    say(&format!("PostgreSQL listens at {url}"));
    *postgres = Some((server, folder));
    Ok(url)
}

/// Watches the parts until a signal comes. A part that ends by itself is started again: people kill parts to see what
/// becomes of the others.
fn go_on(
    launch: &mut Launch,
    system: &System,
    start: impl Fn(&mut Launch, &Part) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut restarted: Option<Instant> = None;
    loop {
        launch.parts.stop.check()?;
        if let Some((name, how)) = launch.parts.take_ended() {
            let part = system.parts.iter().find(|part| part.name == name);
            let hopeless = restarted.is_some_and(|restarted| restarted.elapsed() < SHORTEST_LIFE);
            let Some(part) = part.filter(|_| !hopeless) else { bail!("{how}") };
            say(&format!("{how}; starting it again"));
            restarted = Some(Instant::now());
            start(launch, part)?;
        }
        thread::sleep(PAUSE);
    }
}

/// Where a part listens.
struct Place {
    /// The name of the part.
    part: &'static str,
    setting: &'static str,
    /// The address as it was given.
    text: String,
    address: Address,
}

/// Where the parts listen: where the environment or the table says, or anywhere beside a command.
fn places(
    system: &System,
    is_alone: bool,
    environment: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Vec<Place>> {
    let mut places: Vec<Place> = Vec::new();
    for part in system.parts {
        let Some(Listens { setting, default, .. }) = part.listens else { continue };
        let text = match (environment(setting), is_alone) {
            (Some(text), _) => text,
            (None, true) => default.to_owned(),
            (None, false) => free_address()?.to_string(),
        };
        let address = Address::parse(&text).map_err(|rule| anyhow!("{setting}={text} {rule}"))?;
        if let Some(other) = places.iter().find(|other| address.meets(&other.address)) {
            let (other, port) = (other.setting, address.port);
            bail!("{other} and {setting} both name port {port}: choose another for one");
        }
        places.push(Place { part: part.name, setting, text, address });
    }
    Ok(places)
}

fn welcome<'a>(system: &System, urls: impl Iterator<Item = (&'a str, String)>, redis_url: &str) {
    let place = |(name, url): (&str, &str)| format!("  {name:<10} {url}\n");
    let places: String = urls.map(|(name, url)| place((name, &url))).collect();
    let redis = place(("redis", &redis_url::shown(redis_url)));
    say(&format!(
        "\n{} is up.\n\n{places}{redis}\n{}\nCtrl-C stops everything; a second one kills it.\n",
        system.name, system.hint
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_place_of_its_own() {
        let [chat, _] = SYSTEMS;
        let at = |first: &str| places(&chat, true, |name| (name == "CHAT_LISTEN").then(|| first.to_owned()));

        let texts: Vec<_> = at("0.0.0.0:7000").expect("right").into_iter().map(|place| place.text).collect();
        assert_eq!(texts, ["0.0.0.0:7000", "127.0.0.1:5031"]);
        let error = at("0.0.0.0:5031").err().expect("taken twice").to_string();
        assert_eq!(error, "CHAT_LISTEN and CHAT_2_LISTEN both name port 5031: choose another for one");
        let error = at("5030").err().expect("no address").to_string();
        assert!(error.starts_with("CHAT_LISTEN=5030 is no address"), "{error}");
        let free = places(&chat, false, |_| None).expect("free");
        assert!(free.iter().all(|place| ![5_030, 5_031].contains(&place.address.port)));
    }
}
