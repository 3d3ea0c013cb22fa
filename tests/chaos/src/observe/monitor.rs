//! MONITOR: what Redis executed, in its order. A command that Redis refused (OOM, READONLY, …) does
//! not show up; commands of a script do.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use crate::history::{Command, CommandKind, Fields, Micros, Recorder, now};
use crate::setup::{GROUP, PASSWORD, REPLIES, REQUESTS, dead_letters};

/// Records until `stop`. A lost connection is made anew, and the gap recorded.
pub async fn watch(socket: PathBuf, recorder: Recorder, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = follow(&socket, &recorder) => {}
        }
        recorder.with(|history| history.commands.push(Command { at: now(), kind: CommandKind::Gap }));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn follow(socket: &PathBuf, recorder: &Recorder) -> std::io::Result<()> {
    let mut connection = BufReader::new(UnixStream::connect(socket).await?);
    connection.write_all(format!("AUTH {PASSWORD}\r\nMONITOR\r\n").as_bytes()).await?;
    let mut line = Vec::new();
    while connection.read_until(b'\n', &mut line).await? > 0 {
        if let Some((at, kinds)) = parse(&line).and_then(interpret) {
            let commands = kinds.into_iter().map(|kind| Command { at, kind });
            recorder.with(|history| history.commands.extend(commands));
        }
        line.clear();
    }
    Ok(())
}

/// A line of MONITOR.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    at: Micros,
    words: Vec<Vec<u8>>,
}

/// Reads `+1700000000.123456 [0 lua] "XADD" "key" "a\"b\x00"`.
fn parse(line: &[u8]) -> Option<Line> {
    let line = line.strip_prefix(b"+")?;
    let space = line.iter().position(|byte| *byte == b' ')?;
    let (seconds, micros) = std::str::from_utf8(&line[..space]).ok()?.split_once('.')?;
    let at = seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?;
    let words = line.windows(2).position(|two| two == b"] ")?;
    Some(Line { at, words: words_of(&line[words + 2..])? })
}

/// Reads quoted words, `None` if one has no end.
fn words_of(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut words, mut bytes) = (Vec::new(), text.iter().copied());
    while bytes.any(|byte| byte == b'"') {
        let mut word = Vec::new();
        loop {
            match bytes.next()? {
                b'"' => break,
                b'\\' => word.push(escaped(&mut bytes)?),
                byte => word.push(byte),
            }
        }
        words.push(word);
    }
    Some(words)
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match bytes.next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'x' => {
            let mut digit = || (bytes.next()? as char).to_digit(16);
            (digit()? * 16 + digit()?) as u8
        }
        other => other,
    })
}

/// What the checker wants to know of it, if anything; an entry with several replies counts as several.
fn interpret(line: Line) -> Option<(Micros, Vec<CommandKind>)> {
    let words = &line.words;
    let text = |n: usize| words.get(n).map(|word| String::from_utf8_lossy(word).into_owned());
    let number = |n: usize| text(n).and_then(|text| text.parse().ok());
    let (name, key) = (text(0)?.to_ascii_uppercase(), text(1).unwrap_or_default());
    let kind = match name.as_str() {
        "XADD" => {
            // Between key and id may be options; the id is `*` here, and no option is.
            let star = words.iter().position(|word| word == b"*")?;
            let pairs = words[star + 1..].chunks_exact(2).map(|pair| (&pair[0][..], &pair[1][..]));
            match key {
                key if key == REQUESTS => CommandKind::Request(Fields::read(pairs)),
                key if key == dead_letters() => CommandKind::DeadLetter(Fields::read(pairs)),
                key if key.starts_with(REPLIES) => {
                    let replies = Fields::read_replies(pairs).into_iter().map(CommandKind::Reply);
                    return Some((line.at, replies.collect()));
                }
                _ => return None,
            }
        }
        "XACK" if key == REQUESTS => CommandKind::Acknowledge((3..words.len()).filter_map(text).collect()),
        "XCLAIM" if key == REQUESTS => {
            let is_id = |word: &String| word.split('-').all(|part| part.parse::<u64>().is_ok());
            let rest: Vec<String> = (5..words.len()).filter_map(text).collect();
            CommandKind::Claim {
                consumer: text(3)?,
                min_idle_ms: number(4)?,
                hand_back: rest.iter().any(|word| word == "IDLE"),
                entries: rest.into_iter().take_while(is_id).collect(),
            }
        }
        "XAUTOCLAIM" if key == REQUESTS => {
            CommandKind::AutoClaim { consumer: text(3)?, min_idle_ms: number(4)? }
        }
        "FLUSHALL" => CommandKind::Reset,
        "DEL" if key == REQUESTS => CommandKind::Reset,
        "XGROUP" if key == "DESTROY" && text(3)? == GROUP => CommandKind::Reset,
        _ => return None,
    };
    Some((line.at, vec![kind]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(line: &str) -> Vec<CommandKind> {
        interpret(parse(line.as_bytes()).expect("a line")).map(|(_, kinds)| kinds).unwrap_or_default()
    }

    fn read(line: &str) -> Option<CommandKind> {
        let mut kinds = read_all(line);
        assert!(kinds.len() < 2, "{kinds:?}");
        kinds.pop()
    }

    #[test]
    fn escapes_are_undone() {
        let line =
            parse(b"+1700000000.000123 [0 unix:/tmp/a b] \"SET\" \"a\\\"\\\\b\" \"\\x00\\n\\xff\"\r\n");

        let words = vec![b"SET".to_vec(), b"a\"\\b".to_vec(), vec![0, b'\n', 255]];
        assert_eq!(line, Some(Line { at: 1_700_000_000_000_123, words }));
    }

    #[test]
    fn what_is_no_command_is_nothing() {
        assert_eq!(parse(b"+OK\r\n"), None);
        assert_eq!(parse(b"-NOAUTH Authentication required.\r\n"), None);
        assert_eq!(parse(b"+1.000000 [0 lua] \"SET\" \"no end\r\n"), None);
    }

    #[test]
    fn a_request_and_its_place_are_seen_behind_options_too() {
        let fields = |kind| match kind {
            Some(CommandKind::Request(fields) | CommandKind::DeadLetter(fields)) => fields,
            other => panic!("{other:?}"),
        };

        let request = fields(read(
            r#"+1.000000 [0 lua] "XADD" "weather-requests" "*" "id" "X" "deadline" "17" "body" "{\"city\":\"C\",\"location\":\"L\"}""#,
        ));
        let letter = fields(read(
            r#"+1.000000 [0 lua] "XADD" "{weather-requests}:dlq" "MAXLEN" "~" "5" "*" "dlq_origin_id" "1-0""#,
        ));

        assert_eq!((request.id.as_deref(), request.deadline_ms), (Some("X"), Some(17)));
        assert_eq!((request.city.as_deref(), request.location.as_deref()), (Some("C"), Some("L")));
        assert_eq!(letter.origin.as_deref(), Some("1-0"));
    }

    #[test]
    fn each_reply_of_an_entry_is_seen() {
        let line = r#"+1.000000 [0 x] "XADD" "weather-responses.a" "*" "id" "X" "status" "200" "id" "Y""#;

        let ids = read_all(line).into_iter().map(|kind| match kind {
            CommandKind::Reply(fields) => fields.id,
            other => panic!("{other:?}"),
        });

        assert!(ids.eq(["X", "Y"].map(|id| Some(id.to_owned()))));
    }

    #[test]
    fn claims_and_acknowledgements_name_their_entries() {
        let given_back = read(
            r#"+1.000000 [0 lua] "XCLAIM" "weather-requests" "g" "w" "0" "1-0" "2-0" "IDLE" "3600000" "JUSTID""#,
        );
        let entries = vec!["1-0".to_owned(), "2-0".to_owned()];

        let consumer = "w".to_owned();
        let claim =
            CommandKind::Claim { consumer, min_idle_ms: 0, entries: entries.clone(), hand_back: true };
        assert_eq!(given_back, Some(claim));
        let acknowledged = read(r#"+1.000000 [0 x] "XACK" "weather-requests" "g" "1-0" "2-0""#);
        assert_eq!(acknowledged, Some(CommandKind::Acknowledge(entries)));
        assert_eq!(read(r#"+1.000000 [0 x] "XACK" "another" "g" "1-0""#), None);
    }
}
