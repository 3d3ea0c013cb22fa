//! Decodes the answers of Redis in RESP2.
//!
//! With the client library's parser, an entry of a stream cost 15,000 to 19,000 instructions, most of them in the
//! parser (`docs/PERFORMANCE.md`, "What was tried"). So the few connections that carry every request use this one.
//! Format: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use bytes::{Buf, BytesMut};
use redis::Value;

/// Turns bytes into answers. An answer may arrive in any number of pieces. No piece is parsed twice, except
/// its first line.
#[derive(Default)]
pub struct Decoder {
    /// Arrays that are not complete yet, the outermost first.
    open: Vec<Open>,
}

struct Open {
    items: Vec<Value>,
    missing: usize,
}

/// The bytes are not RESP2: the peer is no Redis, or the position in the input is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an answer of Redis: {0}")]
pub struct Malformed(pub(crate) &'static str);

/// The deepest nesting of arrays; the answers to the commands here have four levels.
const DEEPEST: usize = 32;
/// The longest bulk string of Redis (`proto-max-bulk-len`).
const LONGEST_BULK: i64 = 512 << 20;
/// The longest line: an error's text, in practice.
const LONGEST_LINE: usize = 64 << 10;
/// Memory is reserved for at most this many items, because the announced number may be wrong.
const LARGEST_RESERVE: usize = 1 << 10;

/// Decodes answers from the bytes that Redis sends.
pub trait Decode {
    /// The decoded answer to one command.
    type Answer;

    /// The next answer, if it is complete; decoded bytes are removed from `input`.
    ///
    /// # Errors
    /// The bytes are not RESP2; the connection must not be used again.
    fn next(&mut self, input: &mut BytesMut) -> Result<Option<Self::Answer>, Malformed>;

    /// The least number of bytes that must arrive before more can be decoded. With it, a
    /// large string arrives in few reads.
    fn missing(&self, input: &[u8]) -> usize;
}

impl Decode for Decoder {
    type Answer = Value;

    fn next(&mut self, input: &mut BytesMut) -> Result<Option<Value>, Malformed> {
        let mut at = 0;
        let answer = self.scan(input, &mut at)?;
        input.advance(at);
        Ok(answer)
    }

    fn missing(&self, input: &[u8]) -> usize {
        missing(input)
    }
}

impl Decoder {
    fn scan(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Value>, Malformed> {
        while let Some((kind, rest)) = input[*at..].split_first() {
            let mut value = match kind {
                b'$' => {
                    let Some((bytes, length)) = bulk(rest)? else { return Ok(None) };
                    *at += 1 + length;
                    bytes.map_or(Value::Nil, |bytes| Value::BulkString(bytes.to_vec()))
                }
                b'*' => {
                    let Some((items, length)) = integer(rest)? else { return Ok(None) };
                    if items > 0 && self.open.len() == DEEPEST {
                        return Err(Malformed("arrays within arrays"));
                    }
                    *at += 1 + length;
                    match usize::try_from(items) {
                        Ok(0) => Value::Array(Vec::new()),
                        Ok(missing) => {
                            let items = Vec::with_capacity(missing.min(LARGEST_RESERVE));
                            self.open.push(Open { items, missing });
                            continue;
                        }
                        Err(_) => Value::Nil,
                    }
                }
                b':' => {
                    let Some((number, length)) = integer(rest)? else { return Ok(None) };
                    *at += 1 + length;
                    Value::Int(number)
                }
                b'+' | b'-' => {
                    let Some((value, length)) = simple(&input[*at..])? else { return Ok(None) };
                    *at += length;
                    value
                }
                _ => return Err(Malformed("an answer begins with none of + - : $ *")),
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

/// The least number of bytes that must arrive until the bulk string at the start of `input` is complete.
pub(crate) fn missing(input: &[u8]) -> usize {
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

/// A decoded value and its number of bytes; `None` if it is not complete.
pub(crate) type Measured<T> = Result<Option<(T, usize)>, Malformed>;

/// `*<length>\r\n`, the beginning of an array, or `*-1\r\n` for nil; anything else is malformed.
pub(crate) fn array(input: &[u8]) -> Measured<i64> {
    match input.split_first() {
        None => Ok(None),
        Some((b'*', rest)) => Ok(integer(rest)?.map(|(items, line)| (items, 1 + line))),
        Some(_) => Err(Malformed("an array is due")),
    }
}

/// `$<length>\r\n<bytes>\r\n`; anything else is malformed.
#[inline]
pub(crate) fn string(input: &[u8]) -> Measured<&[u8]> {
    let bulk = match input.split_first() {
        None => return Ok(None),
        Some((b'$', rest)) => bulk(rest)?,
        Some(_) => return Err(Malformed("a string is due")),
    };
    match bulk {
        None => Ok(None),
        Some((Some(bytes), length)) => Ok(Some((bytes, 1 + length))),
        Some((None, _)) => Err(Malformed("a string is due")),
    }
}

/// `<length>\r\n<bytes>\r\n`, or `-1\r\n` for nil.
#[inline]
fn bulk(input: &[u8]) -> Measured<Option<&[u8]>> {
    let Some((length, line)) = integer(input)? else { return Ok(None) };
    if length > LONGEST_BULK {
        return Err(Malformed("a string is longer than Redis allows"));
    }
    let Ok(length) = usize::try_from(length) else { return Ok(Some((None, line))) };
    let end = line + length;
    match input.get(end..end + 2) {
        Some(b"\r\n") => Ok(Some((Some(&input[line..end]), end + 2))),
        Some(_) => Err(Malformed("a string does not end at its announced length")),
        None => Ok(None),
    }
}

/// A line of text, `+OK` or an error. The client library parses it, because it knows the error codes.
fn simple(input: &[u8]) -> Measured<Value> {
    let Some(end) = input.windows(2).position(|two| two == b"\r\n") else {
        return if input.len() > LONGEST_LINE { Err(Malformed("a line does not end")) } else { Ok(None) };
    };
    let line = &input[..end + 2];
    let value = redis::parse_redis_value(line).map_err(|_| Malformed("a line is not UTF-8"))?;
    Ok(Some((value, line.len())))
}

/// `<digits>\r\n`. Nearly all numbers have up to three digits, so these have a fast path.
#[inline]
fn integer(input: &[u8]) -> Measured<i64> {
    let (a, b, c, length) = match *input {
        [c @ b'0'..=b'9', b'\r', b'\n', ..] => (b'0', b'0', c, 3),
        [b @ b'0'..=b'9', c @ b'0'..=b'9', b'\r', b'\n', ..] => (b'0', b, c, 4),
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b'\r', b'\n', ..] => (a, b, c, 5),
        _ => return any_integer(input),
    };
    let digit = |byte: u8| i64::from(byte - b'0');
    Ok(Some((digit(a) * 100 + digit(b) * 10 + digit(c), length)))
}

/// `<digits>\r\n` with any number of digits.
fn any_integer(input: &[u8]) -> Measured<i64> {
    /// Any number with this many digits fits.
    const SAFE: usize = 18;
    /// No number is longer, except with zeros in front.
    const LONGEST: usize = 24;
    const NO_NUMBER: Malformed = Malformed("a length or a number is not a number");
    let start = usize::from(input.first() == Some(&b'-'));
    let (mut number, mut at) = (0i64, start);
    while let Some(digit) = input.get(at).map(|byte| byte.wrapping_sub(b'0'))
        && digit <= 9
    {
        number = match at - start < SAFE {
            true => number * 10 - i64::from(digit),
            false => number
                .checked_mul(10)
                .and_then(|number| number.checked_sub(i64::from(digit)))
                .ok_or(NO_NUMBER)?,
        };
        at += 1;
    }
    // Computed as a negative number, because the smallest one has no positive counterpart.
    let number = if start == 1 { number } else { number.checked_neg().ok_or(NO_NUMBER)? };
    match &input[at..] {
        [b'\r', b'\n', ..] if at > start => Ok(Some((number, at + 2))),
        [] | [b'\r'] if (start + 1..LONGEST).contains(&at) || input.len() == start => Ok(None),
        _ => Err(NO_NUMBER),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_fast_path_for_numbers_gives_the_same_results() {
        for number in (0..1_100).chain([-1, 99_999]) {
            for text in [format!("{number}\r\n"), format!("0{number}\r\nrest")] {
                for end in 0..=text.len() {
                    let part = &text.as_bytes()[..end];
                    assert_eq!(integer(part), any_integer(part), "{text:?} up to {end}");
                }
            }
            let text = format!("{number}\r\n");
            assert_eq!(integer(text.as_bytes()), Ok(Some((number, text.len()))));
        }
    }

    /// Encodes a value as Redis does.
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
        fn answers_may_arrive_in_any_pieces(
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
        fn no_input_causes_a_panic(bytes in prop::collection::vec(prop_oneof![
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
    fn bytes_that_are_no_answer_are_refused() {
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
    fn the_missing_bytes_of_a_large_string_are_known() {
        assert_eq!(missing(b"$60000\r\nabc"), 60_000 + 2 - 3);
        assert_eq!(missing(b"$3\r\nabc\r\n"), 0);
        assert_eq!(missing(b"*3\r\n"), 0);
    }
}
