//! Answers in RESP2, as Redis writes them to a connection of ours.
//!
//! The client library's own parser spends 15,000 to 19,000 instructions on one entry of a stream
//! (`docs/PERFORMANCE.md`, "What was tried"); this one is for the few connections that carry every
//! request. Format: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use bytes::{Buf, BytesMut};
use redis::Value;

/// Turns bytes into answers as they arrive: an answer may come in any number of pieces, and no
/// piece is looked at twice but for the line it begins with.
#[derive(Default)]
pub struct Decoder {
    /// Arrays that are not complete yet, the outermost first.
    open: Vec<Open>,
}

struct Open {
    items: Vec<Value>,
    missing: usize,
}

/// The bytes are no RESP2: whoever is at the other end is no Redis, or we lost our place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an answer of Redis: {0}")]
pub struct Malformed(&'static str);

/// What can stand at one place of an answer.
enum Item {
    Value(Value),
    /// The beginning of an array of so many items, at least one.
    Array(usize),
}

/// Arrays within arrays; the answers to our commands have four.
const DEEPEST: usize = 32;
/// The longest bulk string of Redis (`proto-max-bulk-len`).
const LONGEST_BULK: i64 = 512 << 20;
/// The longest line: an error's text, in practice.
const LONGEST_LINE: usize = 64 << 10;
/// Room for items is made ahead up to here; a length is only a claim until they are there.
const LARGEST_RESERVE: usize = 1 << 10;

impl Decoder {
    /// The next answer, if all of it is there; what was understood is taken from `input`.
    ///
    /// # Errors
    /// The bytes are no RESP2; the connection is of no use any more.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Value>, Malformed> {
        let mut at = 0;
        let answer = self.scan(input, &mut at)?;
        input.advance(at);
        Ok(answer)
    }

    fn scan(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Value>, Malformed> {
        while let Some((item, length)) = item(&input[*at..])? {
            *at += length;
            let mut value = match item {
                Item::Value(value) => value,
                Item::Array(_) if self.open.len() == DEEPEST => {
                    return Err(Malformed("arrays within arrays"));
                }
                Item::Array(missing) => {
                    let items = Vec::with_capacity(missing.min(LARGEST_RESERVE));
                    self.open.push(Open { items, missing });
                    continue;
                }
            };
            loop {
                let Some(innermost) = self.open.last_mut() else { return Ok(Some(value)) };
                innermost.items.push(value);
                innermost.missing -= 1;
                if innermost.missing > 0 {
                    break;
                }
                let items = std::mem::take(&mut innermost.items);
                self.open.pop();
                value = Value::Array(items);
            }
        }
        Ok(None)
    }
}

/// How many bytes are missing at the least until the bulk string that `input` begins with is whole: a
/// large one then arrives in few reads.
pub(super) fn missing(input: &[u8]) -> usize {
    match input.split_first() {
        Some((b'$', rest)) => match integer(rest) {
            Ok(Some((length, line))) if (0..=LONGEST_BULK).contains(&length) => {
                (1 + line + length as usize + 2).saturating_sub(input.len())
            }
            _ => 0,
        },
        _ => 0,
    }
}

/// The item that `input` begins with and its length in bytes; nothing if it is not complete.
fn item(input: &[u8]) -> Result<Option<(Item, usize)>, Malformed> {
    let Some((kind, rest)) = input.split_first() else { return Ok(None) };
    match kind {
        b'$' => bulk(rest),
        b'*' => Ok(integer(rest)?.map(|(length, line)| {
            let item = match usize::try_from(length) {
                Ok(0) => Item::Value(Value::Array(Vec::new())),
                Ok(length) => Item::Array(length),
                Err(_) => Item::Value(Value::Nil),
            };
            (item, 1 + line)
        })),
        b':' => Ok(integer(rest)?.map(|(number, line)| (Item::Value(Value::Int(number)), 1 + line))),
        b'+' | b'-' => simple(input),
        _ => Err(Malformed("an answer begins with none of + - : $ *")),
    }
}

/// `<length>\r\n<bytes>\r\n`, or `-1\r\n` for nil.
fn bulk(input: &[u8]) -> Result<Option<(Item, usize)>, Malformed> {
    let Some((length, line)) = integer(input)? else { return Ok(None) };
    if length > LONGEST_BULK {
        return Err(Malformed("a string is longer than Redis allows"));
    }
    let Ok(length) = usize::try_from(length) else { return Ok(Some((Item::Value(Value::Nil), 1 + line))) };
    let Some(bytes) = input.get(line..line + length + 2) else { return Ok(None) };
    let (bytes, end) = bytes.split_at(length);
    if end != b"\r\n" {
        return Err(Malformed("a string does not end where it says"));
    }
    Ok(Some((Item::Value(Value::BulkString(bytes.to_vec())), 1 + line + length + 2)))
}

/// A line of text: `+OK`, or an error, whose code the client library knows how to read.
fn simple(input: &[u8]) -> Result<Option<(Item, usize)>, Malformed> {
    let Some(end) = input.windows(2).position(|two| two == b"\r\n") else {
        return if input.len() > LONGEST_LINE { Err(Malformed("a line does not end")) } else { Ok(None) };
    };
    let line = &input[..end + 2];
    let value = redis::parse_redis_value(line).map_err(|_| Malformed("a line is not UTF-8"))?;
    Ok(Some((Item::Value(value), line.len())))
}

/// `<digits>\r\n` and its length in bytes; nothing if it is not complete.
fn integer(input: &[u8]) -> Result<Option<(i64, usize)>, Malformed> {
    /// Nineteen digits, a sign and the end of the line.
    const LONGEST: usize = 22;
    const NO_NUMBER: Malformed = Malformed("a length or number is none");
    let negative = input.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut number = 0i64;
    for (at, byte) in input.iter().enumerate().take(LONGEST).skip(start) {
        match byte {
            b'0'..=b'9' => {
                let digit = i64::from(byte - b'0');
                let digit = if negative { -digit } else { digit };
                number = number.checked_mul(10).and_then(|n| n.checked_add(digit)).ok_or(NO_NUMBER)?;
            }
            b'\r' if at > start => {
                return match input.get(at + 1) {
                    Some(b'\n') => Ok(Some((number, at + 2))),
                    Some(_) => Err(NO_NUMBER),
                    None => Ok(None),
                };
            }
            _ => return Err(NO_NUMBER),
        }
    }
    if input.len() < LONGEST { Ok(None) } else { Err(NO_NUMBER) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What RESP2 can say, as Redis would write it.
    fn write(value: &Value, out: &mut Vec<u8>) {
        match value {
            Value::Nil => out.extend_from_slice(b"$-1\r\n"),
            Value::Int(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
            Value::Okay => out.extend_from_slice(b"+OK\r\n"),
            Value::SimpleString(text) => out.extend_from_slice(format!("+{text}\r\n").as_bytes()),
            Value::BulkString(bytes) => {
                out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Value::Array(items) => {
                out.extend_from_slice(format!("*{}\r\n", items.len()).as_bytes());
                items.iter().for_each(|item| write(item, out));
            }
            other => unreachable!("RESP2 cannot say {other:?}"),
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            Just(Value::Okay),
            any::<i64>().prop_map(Value::Int),
            "[A-Z]{3,9} [a-z ]{0,9}".prop_map(Value::SimpleString),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::BulkString),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| prop::collection::vec(inner, 0..6).prop_map(Value::Array))
    }

    proptest! {
        #[test]
        fn answers_are_read_whatever_pieces_they_come_in(
            sent in prop::collection::vec(values(), 1..5),
            cuts in prop::collection::vec(1usize..9, 1..400),
        ) {
            let mut bytes = Vec::new();
            sent.iter().for_each(|value| write(value, &mut bytes));
            let (mut decoder, mut input, mut read) = (Decoder::default(), BytesMut::new(), Vec::new());
            let (mut rest, mut cuts) = (&bytes[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(cuts.next().expect("endless").min(rest.len()));
                rest = later;
                input.extend_from_slice(piece);
                while let Some(value) = decoder.next(&mut input).expect("RESP2") {
                    read.push(value);
                }
            }
            prop_assert_eq!(read, sent);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop_oneof![
            prop::sample::select(b"*$:+-\r\n0123456789".to_vec()), any::<u8>()
        ], 0..200)) {
            let (mut decoder, mut input) = (Decoder::default(), BytesMut::from(&bytes[..]));
            missing(&bytes);
            while let Ok(Some(_)) = decoder.next(&mut input) {}
        }
    }

    #[test]
    fn an_error_keeps_its_code() {
        let mut input = BytesMut::from(&b"-NOGROUP no such key\r\n"[..]);

        let answer = Decoder::default().next(&mut input);

        let Ok(Some(Value::ServerError(error))) = answer else { panic!("{answer:?}") };
        assert_eq!((error.code(), error.details()), ("NOGROUP", Some("no such key")));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let deep = "*1\r\n".repeat(DEEPEST + 1);
        let long = format!("+{}", "x".repeat(LONGEST_LINE));
        for text in [
            "HTTP/1.1 400",
            "$x\r\n",
            ":1",
            "$600000000\r\n",
            "$1\r\nab\r\n",
            "*99999999999999999999\r\n",
            &deep,
            &long,
        ] {
            let mut input = BytesMut::from(text);
            let answer = Decoder::default().next(&mut input);
            let complete = text != ":1";
            assert_eq!(answer.is_err(), complete, "{text:.20}: {answer:?}");
        }
    }

    #[test]
    fn a_large_string_says_what_is_missing() {
        assert_eq!(missing(b"$60000\r\nabc"), 60_000 + 2 - 3);
        assert_eq!(missing(b"$3\r\nabc\r\n"), 0);
        assert_eq!(missing(b"*3\r\n"), 0);
    }
}
