//! What `make up` is told by the environment, checked before anything starts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use stack::{free_address, redis};

use super::address::Address;
use super::earlier::Earlier;
use super::port_owner::{describe, owner};
use super::redis_url;

/// What the processes listen on unless the environment says otherwise: closed to the network.
const DEFAULTS: [(&str, &str); 4] = [
    ("INGRESS_LISTEN", "127.0.0.1:5009"),
    ("INGRESS_ADMIN_LISTEN", "127.0.0.1:9009"),
    ("PROXY_LISTEN", "127.0.0.1:5010"),
    (REDIS_PORT, "6379"),
];
const REDIS_PORT: &str = "REDIS_PORT";
pub(super) const REDIS_PATIENCE: Duration = Duration::from_secs(5);

/// The settings that are looked at here; processes get the rest of the environment as it is.
pub(crate) struct Settings {
    values: BTreeMap<&'static str, String>,
    /// Whether the admin token was made here.
    pub(crate) made_token: bool,
}

impl Settings {
    /// Those of a process with this environment.
    pub(crate) fn new(environment: impl Fn(&str) -> Option<String>) -> Self {
        let others = ["REDIS_URL", "ADMIN_TOKEN", "API_KEYS_FILE", "REQUEST_STREAM"].map(|name| (name, ""));
        let value = |(name, default): (&'static str, &str)| {
            let given = environment(name).filter(|value| !value.is_empty());
            (name, given.unwrap_or_else(|| default.to_owned()))
        };
        Self { values: DEFAULTS.into_iter().chain(others).map(value).collect(), made_token: false }
    }

    /// The value of a setting; nothing if it has none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// False if REDIS_URL names a server that another program runs.
    pub(crate) fn starts_redis(&self) -> bool {
        self.get("REDIS_URL").is_empty()
    }

    /// The port of the Redis server that is started here.
    pub(crate) fn redis_port(&self) -> u16 {
        self.address(REDIS_PORT).map_or(0, |address| address.port)
    }

    /// Where Redis is, without the password.
    pub(crate) fn redis_url(&self) -> String {
        if self.starts_redis() { self.own_redis() } else { redis_url::shown(self.get("REDIS_URL")) }
    }

    /// The URL of Redis as a word of a shell: itself, or the variable if the URL may show a secret.
    pub(crate) fn redis_url_for_shell(&self) -> String {
        let url = self.get("REDIS_URL");
        if !self.starts_redis() && redis_url::is_secret(url) {
            return "\"$REDIS_URL\"".to_owned();
        }
        self.redis_url()
    }

    /// The address that a person opens for one of the listeners.
    pub(crate) fn url(&self, variable: &str) -> String {
        self.address(variable).map_or_else(|_| String::new(), |address| address.url())
    }

    /// What the processes get on top of the environment.
    pub(crate) fn for_processes(&self) -> Vec<(&'static str, String)> {
        let names = ["INGRESS_LISTEN", "INGRESS_ADMIN_LISTEN", "PROXY_LISTEN", "ADMIN_TOKEN"];
        let mut all: Vec<_> = names.map(|name| (name, self.get(name).to_owned())).into();
        if self.starts_redis() {
            all.push(("REDIS_URL", self.own_redis()));
        }
        all
    }

    /// Makes an admin token for this run if there is none.
    pub(crate) fn make_admin_token(&mut self) -> anyhow::Result<()> {
        if self.get("ADMIN_TOKEN").is_empty() {
            let mut bytes = [0; 16];
            File::open("/dev/urandom")
                .and_then(|mut random| random.read_exact(&mut bytes))
                .context("/dev/urandom")?;
            self.values.insert("ADMIN_TOKEN", bytes.iter().map(|byte| format!("{byte:02x}")).collect());
            self.made_token = true;
        }
        Ok(())
    }

    /// Says at once why a server that another program runs cannot be used.
    pub(crate) fn check_redis(&self) -> anyhow::Result<()> {
        match Some(self.get("REDIS_URL")).filter(|url| !url.is_empty()) {
            Some(url) => {
                redis_url::problem(url, REDIS_PATIENCE).map_or(Ok(()), |it| bail!("check REDIS_URL: {it}"))
            }
            None => Ok(()),
        }
    }

    /// Names every port that cannot be used, who has it, and how to choose another.
    pub(crate) fn check_ports(&self, data: &Path) -> anyhow::Result<()> {
        let addresses = self.addresses()?.into_iter();
        let named = addresses.map(|(variable, address)| (variable, self.get(variable).to_owned(), address));
        refuse_taken(&named.collect::<Vec<_>>(), data)
    }

    /// Where everything that is started here will listen; each for itself.
    fn addresses(&self) -> anyhow::Result<Vec<(&'static str, Address)>> {
        let mut addresses: Vec<(&str, Address)> = Vec::new();
        let mut problems = Vec::new();
        for (variable, _) in DEFAULTS {
            if variable == REDIS_PORT && !self.starts_redis() {
                continue;
            }
            match self.address(variable) {
                Ok(address) => {
                    for (other, _) in addresses.iter().filter(|(_, earlier)| address.meets(earlier)) {
                        let port = address.port;
                        problems.push(format!(
                            "{other} and {variable} both name port {port}: choose another for one"
                        ));
                    }
                    addresses.push((variable, address));
                }
                Err(problem) => problems.push(format!("{variable}={} {problem}", self.get(variable))),
            }
        }
        if !problems.is_empty() {
            bail!("{}", problems.join("\n"));
        }
        Ok(addresses)
    }

    fn address(&self, variable: &str) -> Result<Address, &'static str> {
        let text = self.get(variable);
        if variable == REDIS_PORT { Address::local(text) } else { Address::parse(text) }
    }

    fn own_redis(&self) -> String {
        format!("redis://127.0.0.1:{}", self.redis_port())
    }
}

/// Names every port that cannot be used, who has it, and how to choose another: the variable, its value and the
/// address of each.
pub(super) fn refuse_taken(addresses: &[(&'static str, String, Address)], data: &Path) -> anyhow::Result<()> {
    let earlier = Earlier::of(data);
    let (mut problems, mut owners) = (Vec::new(), Vec::new());
    for (variable, value, address) in addresses {
        match address.is_taken() {
            Ok(false) => continue,
            Ok(true) => {}
            Err(error) => {
                problems.push(format!("{variable}={value}: {error}"));
                continue;
            }
        }
        let Address { host, port } = address;
        let pid = owner(*port);
        owners.extend(pid);
        let free = free_address()?.port();
        let other = if *variable == REDIS_PORT { free.to_string() } else { format!("{host}:{free}") };
        let mut problem =
            format!("port {port} is used by {}; choose another: {variable}={other}", describe(pid));
        if *variable == REDIS_PORT && redis::answers(*port) {
            problem += &format!(", or use that server: REDIS_URL=redis://127.0.0.1:{port}");
        }
        problems.push(problem);
    }
    if !problems.is_empty() {
        bail!("{}{}", problems.join("\n"), earlier.advice(owners));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_listens_on_this_machine_alone_unless_told_otherwise() {
        let settings = Settings::new(|name| match name {
            "INGRESS_LISTEN" => Some(String::new()),
            "INGRESS_ADMIN_LISTEN" => Some("0.0.0.0:7009".to_owned()),
            _ => None,
        });

        assert_eq!(settings.get("INGRESS_LISTEN"), "127.0.0.1:5009");
        assert_eq!(settings.get("INGRESS_ADMIN_LISTEN"), "0.0.0.0:7009");
        assert_eq!(settings.get("PROXY_LISTEN"), "127.0.0.1:5010");
        assert_eq!(settings.redis_url(), "redis://127.0.0.1:6379");
    }

    #[test]
    fn settings_that_meet_are_told_together() {
        let settings = Settings::new(|name| match name {
            "INGRESS_LISTEN" => Some("0.0.0.0:7000".to_owned()),
            "PROXY_LISTEN" => Some("127.0.0.1:7000".to_owned()),
            "REDIS_PORT" => Some("70000".to_owned()),
            _ => None,
        });

        let error = settings.check_ports(Path::new("/nowhere")).expect_err("two problems").to_string();

        assert_eq!(
            error,
            "INGRESS_LISTEN and PROXY_LISTEN both name port 7000: choose another for one\n\
             REDIS_PORT=70000 needs a port from 1 to 65535"
        );
    }
}
