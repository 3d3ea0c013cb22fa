//! Reads API_KEYS_FILE: one key per line, `name:hash[:rate[:burst]]`, then options: `scopes=a,b`, `priority=low`,
//! `waiting=100`. A comment starts with `#`.
//!
//! An error names the line and the rule, never the content of the line: the most common mistake is to
//! write a key, which is a secret, instead of its hash.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ::routes::Priority;
use service::api_key::KeyHash;

use super::limit::Limit;

/// The largest file, in bytes: about 10,000 keys.
const LARGEST_FILE: u64 = 1 << 20;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    /// The name of the key in metrics and logs.
    pub name: String,
    /// The hash of the key.
    pub hash: KeyHash,
    /// How often the key may be used; `None` is no limit.
    pub limit: Option<Limit>,
    /// What a route may demand of the key; sorted.
    pub scopes: Vec<String>,
    /// The priority of its requests; `None` is that of the route.
    pub priority: Option<Priority>,
    /// The most requests that may wait at once, in this process; `None` is the setting API_KEY_MAX_WAITING.
    pub waiting: Option<usize>,
}

impl KeyLine {
    /// A key without options.
    pub fn new(name: String, hash: KeyHash, limit: Option<Limit>) -> Self {
        Self { name, hash, limit, scopes: Vec::new(), priority: None, waiting: None }
    }
}

/// The line as it is written in the file.
impl fmt::Display for KeyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.hash)?;
        self.limit.map_or(Ok(()), |limit| write!(f, ":{limit}"))?;
        if !self.scopes.is_empty() {
            write!(f, " scopes={}", self.scopes.join(","))?;
        }
        if let Some(priority) = self.priority {
            write!(f, " priority={}", name_of_priority(priority))?;
        }
        self.waiting.map_or(Ok(()), |waiting| write!(f, " waiting={waiting}"))
    }
}

/// Why a file of keys cannot be used. The message ends a sentence that starts with `API_KEYS_FILE=path`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The system cannot read the file.
    #[error("must be a file that can be read: {0}")]
    Unreadable(String),
    /// The path leads to a folder, a pipe or a device.
    #[error("must be a regular file")]
    NoFile,
    /// The file is too large.
    #[error("must be at most {LARGEST_FILE} bytes long")]
    TooLarge,
    /// The file has no key, so no caller could send requests.
    #[error("must hold at least one key (`ingress new-key NAME` makes one)")]
    Empty,
    /// A line breaks a rule.
    #[error("line {line} {rule}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// A phrase such as "must be text in UTF-8".
        rule: &'static str,
    },
    /// A line repeats the name or the hash of an earlier line.
    #[error("line {line} must not repeat the {what} of line {first}")]
    Repeated {
        /// The number of the line, from 1.
        line: usize,
        /// "name" or "hash".
        what: &'static str,
        /// The number of the earlier line.
        first: usize,
    },
}

/// Reads the keys in the file at `path`.
///
/// # Errors
/// See [`Broken`].
pub fn read(path: &Path) -> Result<Vec<KeyLine>, Broken> {
    let unreadable = |error: io::Error| Broken::Unreadable(error.to_string());
    // Checked before opening: opening a pipe would wait until a process writes to it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Broken::NoFile);
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Broken::TooLarge);
    }
    parse(&bytes)
}

/// Reads the keys in `bytes`.
///
/// # Errors
/// The first rule that is broken.
pub fn parse(bytes: &[u8]) -> Result<Vec<KeyLine>, Broken> {
    // Some editors write a byte order mark at the start of a file.
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let (mut keys, mut names, mut hashes) = (Vec::new(), HashMap::new(), HashMap::new());
    for (line, content) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let key = std::str::from_utf8(content).map_err(|_| "must be text in UTF-8").and_then(key_of);
        let Some(key) = key.map_err(|rule| Broken::Line { line, rule })? else { continue };
        if let Some(first) = names.insert(key.name.clone(), line) {
            return Err(Broken::Repeated { line, what: "name", first });
        }
        if let Some(first) = hashes.insert(key.hash, line) {
            return Err(Broken::Repeated { line, what: "hash", first });
        }
        keys.push(key);
    }
    if keys.is_empty() { Err(Broken::Empty) } else { Ok(keys) }
}

/// Checks the name of a key. The name becomes the label of a metric.
///
/// # Errors
/// The rule that is broken.
pub fn name_of(text: &str) -> Result<String, &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("must have a name of 1 to 64 characters of A-Z a-z 0-9 . _ -")
}

/// Parses a line; `None` for a line without a key.
fn key_of(line: &str) -> Result<Option<KeyLine>, &'static str> {
    let line = line.split('#').next().unwrap_or_default().trim();
    if line.is_empty() {
        return Ok(None);
    }
    let (line, options) = match line.split_once(char::is_whitespace) {
        Some((key, options)) if options.split_whitespace().all(|word| word.contains('=')) => (key, options),
        _ => (line, ""),
    };
    let fields: Vec<&str> = line.split(':').collect();
    let (name, hash, rate, burst) = match fields[..] {
        [name, hash] => (name, hash, None, None),
        [name, hash, rate] => (name, hash, Some(rate), None),
        [name, hash, rate, burst] => (name, hash, Some(rate), Some(burst)),
        _ => return Err("must be name:hash, name:hash:rate or name:hash:rate:burst"),
    };
    let name = name_of(name)?;
    let hash = KeyHash::parse(hash)
        .ok_or("must have a hash of 64 hexadecimal digits, the SHA-256 of the key (not the key itself)")?;
    if hash == KeyHash::of(b"") {
        return Err("must not have the hash of an empty key");
    }
    let limit = rate.map(|rate| Limit::parse(rate, burst)).transpose()?;
    let mut key = KeyLine::new(name, hash, limit);
    options.split_whitespace().try_for_each(|option| key.set(option))?;
    Ok(Some(key))
}

impl KeyLine {
    /// Sets an option such as `waiting=100`.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn set(&mut self, option: &str) -> Result<(), &'static str> {
        match option.split_once('=') {
            Some(("scopes", scopes)) => {
                self.scopes = scopes.split(',').map(scope_of).collect::<Result<_, _>>()?;
                self.scopes.sort();
            }
            Some(("priority", priority)) => {
                let known = Priority::ALL.into_iter().find(|known| name_of_priority(*known) == priority);
                self.priority = Some(known.ok_or("must have a priority of high, normal or low")?);
            }
            Some(("waiting", waiting)) => self.waiting = Some(waiting_of(waiting)?),
            _ => return Err("must have no options but scopes=a,b priority=high and waiting=100"),
        }
        Ok(())
    }
}

/// Checks a scope.
///
/// # Errors
/// The rule that is broken.
pub fn scope_of(text: &str) -> Result<String, &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
    let good = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
    if good {
        Ok(text.to_owned())
    } else {
        Err("must have scopes of 1 to 64 characters of A-Z a-z 0-9 . _ - :, separated by commas")
    }
}

/// Reads how many requests may wait.
///
/// # Errors
/// The rule that is broken.
pub fn waiting_of(text: &str) -> Result<usize, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (1..=1_000_000).contains(number));
    number.ok_or("must let 1 to 1000000 requests wait, such as waiting=100")
}

fn name_of_priority(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "sgk_hunter2";

    fn hash(key: &str) -> KeyHash {
        KeyHash::of(key.as_bytes())
    }

    #[test]
    fn a_file_that_a_person_wrote_is_read() {
        let (a, b, c) = (hash("a"), hash("b"), hash("c"));
        let text = format!(
            "\u{feff}# our callers\r\n\r\n  shop:{a}  \r\n\tbatch.2:{b}:50:100 # nightly\n#old:{c}\nslow:{c}:5/m"
        );

        let keys = parse(text.as_bytes()).expect("valid");

        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["shop", "batch.2", "slow"]);
        assert_eq!((keys[0].hash, keys[0].limit), (a, None));
        assert_eq!(keys[1].to_string(), format!("batch.2:{b}:50:100"));
        assert_eq!(keys[2].to_string(), format!("slow:{c}:5/m:5"));
    }

    #[test]
    fn an_error_names_the_line_and_the_rule_not_the_content() {
        let (good, other) = (hash("a"), hash("b"));
        let long = "x".repeat(65);
        for (line, rule) in [
            (SECRET.to_owned(), "must be name:hash"),
            (format!("shop:{good}:5:5:{SECRET}"), "must be name:hash"),
            (format!("shop:{SECRET}"), "must have a hash of 64 hexadecimal digits"),
            (format!("shop:{SECRET}{good}"), "must have a hash of 64 hexadecimal digits"),
            (format!("shop: {good}"), "must have a hash of 64 hexadecimal digits"),
            (format!("shop:{}", hash("")), "must not have the hash of an empty key"),
            (format!(":{good}"), "must have a name of 1 to 64"),
            (format!("sgk hunter2:{good}"), "must have a name of 1 to 64"),
            (format!("hünter2:{good}"), "must have a name of 1 to 64"),
            (format!("{long}:{good}"), "must have a name of 1 to 64"),
            (format!("shop:{good}:{SECRET}"), "must be a rate of 1 to 1000000"),
            (format!("shop:{good}:"), "must be a rate of 1 to 1000000"),
            (format!("shop:{good}:5:{SECRET}"), "must have a burst of at least"),
            (format!("first:{good}"), "must not repeat the name of line 2"),
            (format!("sgk_hunter2:{other}"), "must not repeat the hash of line 2"),
        ] {
            let text = format!("# {SECRET}\nfirst:{other}\n{line}\n");

            let message = parse(text.as_bytes()).expect_err(&line).to_string();

            assert!(message.starts_with("line 3 ") && message.contains(rule), "{line}: {message}");
            assert!(
                !message.contains("hunter2") && !message.contains(&good.to_string()),
                "{line}: {message}"
            );
        }
        assert_eq!(parse(b"\n\xff").expect_err("no text").to_string(), "line 2 must be text in UTF-8");
    }

    #[test]
    fn the_options_of_a_key_are_read_and_written() {
        let hash = hash("a");
        let text = format!("shop:{hash}:5 waiting=7  scopes=orders.write,a:b priority=low # ours");

        let keys = parse(text.as_bytes()).expect("valid");

        let [key] = &keys[..] else { panic!("{keys:?}") };
        assert_eq!((key.waiting, key.priority), (Some(7), Some(Priority::Low)));
        assert_eq!(key.scopes, ["a:b", "orders.write"]);
        assert_eq!(parse(key.to_string().as_bytes()), Ok(keys.clone()));
        for (options, rule) in [
            ("scopes=", "must have scopes of"),
            ("scopes=a,,b", "must have scopes of"),
            ("priority=urgent", "must have a priority of"),
            ("waiting=0", "must let 1 to"),
            ("waiting=+1", "must let 1 to"),
            ("scope=a", "must have no options but"),
            ("scopes=a hunter2", "must be name:hash"),
        ] {
            let text = format!("shop:{hash} {options}");
            let message = parse(text.as_bytes()).expect_err(options).to_string();
            assert!(
                message.starts_with(&format!("line 1 {rule}")) || rule == "must be name:hash",
                "{message}"
            );
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_file_without_keys_is_refused() {
        for text in ["", "\n\n", "# nothing yet\n"] {
            assert_eq!(parse(text.as_bytes()), Err(Broken::Empty), "{text:?}");
        }
    }

    #[test]
    fn a_path_that_is_not_a_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let huge = folder.path().join("huge");
        std::fs::write(&huge, vec![b'#'; LARGEST_FILE as usize + 1]).expect("written");

        assert_eq!(read(folder.path()), Err(Broken::NoFile));
        assert_eq!(read(Path::new("/dev/zero")), Err(Broken::NoFile));
        assert_eq!(read(&huge), Err(Broken::TooLarge));
        let missing = read(&folder.path().join("missing")).expect_err("missing").to_string();
        assert!(missing.starts_with("must be a file that can be read: No such file"), "{missing}");
    }
}
