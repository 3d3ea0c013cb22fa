//! Where everything is, and one real answer.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use stack::http;

use super::settings::Settings;
use crate::parts::{PAUSE, Parts};
use crate::terminal::{say, spread};

const PLACE: &str = r#"{"city": "New York", "location": "Downtown"}"#;
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn welcome(settings: &Settings, binaries: &Path, parts: &mut Parts) -> anyhow::Result<()> {
    let gateway = settings.url("INGRESS_LISTEN");
    let request = format!("{gateway}/WeatherForecast/city");
    let keys = settings.get("API_KEYS_FILE");
    let (works, answer, key) = if keys.is_empty() {
        say("sending a sample request");
        let (works, answer) = ask(&request, parts)?;
        (works, answer, "")
    } else {
        let ingress = binaries.join("ingress");
        let answer = format!(
            "API keys are on ({keys}): put one in the place of KEY.\n\
             This makes one, and the line for that file: {} new-key NAME",
            ingress.display()
        );
        (true, answer, " -H 'authorization: Bearer KEY'")
    };
    let head = if works { "Streamgate is up." } else { "Streamgate is up, but the sample request failed." };
    let (admin, proxy) = (settings.url("INGRESS_ADMIN_LISTEN"), settings.url("PROXY_LISTEN"));
    let redis = settings.redis_url();
    say(&format!(
        "
{head}

  Gateway            {request}
  Swagger            {gateway}/swagger
  Gateway metrics    {admin}/metrics
  Proxy operations   {proxy}/swagger
  Redis              {redis}

  curl -s {request}{key} -H 'content-type: application/json' -d '{PLACE}'
"
    ));
    say(&answer.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"));
    say(&format!("\n{}\n\nCtrl-C stops everything; a second one kills it.\n", look(settings)));
    Ok(())
}

/// How to see the request on its stream. Secrets of the environment stay out of the terminal's history.
fn look(settings: &Settings) -> String {
    let stream =
        Some(settings.get("REQUEST_STREAM")).filter(|it| !it.is_empty()).unwrap_or("weather-requests");
    let token = if settings.made_token { settings.get("ADMIN_TOKEN") } else { "$ADMIN_TOKEN" };
    let path = format!("{}/streams/{}", settings.url("PROXY_LISTEN"), escaped(stream));
    let mut look = format!("  curl -s {path} -H \"authorization: Bearer {token}\"");
    if let Some(cli) = ["redis-cli", "valkey-cli"].into_iter().find(|name| is_on_path(name)) {
        let url = settings.redis_url_for_shell();
        look += &format!("\n  {cli} -u {url} XREVRANGE {stream} + - COUNT 1");
    }
    let secrets: Vec<&str> =
        ["ADMIN_TOKEN", "REDIS_URL"].into_iter().filter(|name| look.contains(&format!("${name}"))).collect();
    if !secrets.is_empty() {
        look += &format!("\n  In another shell, set {} first, as here.", secrets.join(" and "));
    }
    look
}

/// Sends the request of the curl line: whether it was answered, and the answer or what went wrong instead.
///
/// On a thread, so that Ctrl-C does not wait for it.
fn ask(url: &str, parts: &mut Parts) -> anyhow::Result<(bool, String)> {
    let (sender, answer) = mpsc::channel();
    let url = url.to_owned();
    let started = Instant::now();
    thread::spawn(move || sender.send(http::ask(&url, Some(PLACE), ANSWER_PATIENCE)));
    loop {
        parts.check()?;
        match answer.recv_timeout(PAUSE) {
            Ok(Ok((200, body))) => {
                return Ok((true, format!("{}\n\n({} ms)", spread(&body), started.elapsed().as_millis())));
            }
            Ok(Ok((status, body))) => return Ok((false, format!("HTTP {status}: {body}"))),
            Ok(Err(error)) => return Ok((false, format!("no answer: {error}"))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok((false, "no answer".to_owned())),
        }
    }
}

/// As a segment of a path.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let escape = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(escape).collect()
}

fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
