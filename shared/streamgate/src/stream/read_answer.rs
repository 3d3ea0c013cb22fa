use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::{Entry, EntryId};
use crate::connection::{Decode, Decoder, Error, Malformed, array, checked, missing, string};
use crate::fields::Fields;

/// Decodes the answers of XREAD and XREADGROUP for one stream directly from the socket's bytes.
///
/// Each entry has its own buffer, so the holder of a body does not keep the memory of other entries. An entry may
/// arrive in any number of pieces; a complete string is not parsed again.
pub struct ReadAnswer {
    /// The name for errors.
    command: &'static str,
    entries: Vec<Entry>,
    expected: Expected,
    /// Places in the input of those strings of the next entry that have arrived.
    strings: Vec<Range<usize>>,
}

/// The next part of the input.
enum Expected {
    /// An answer.
    Answer,
    /// This number of entries.
    Entries(usize),
    /// `count` strings of the entry `id`; the next of them is at `from` in the input. Then `more` entries.
    Strings { id: EntryId, count: usize, from: usize, more: usize },
    /// An answer without entries: nil or an error.
    Other(Decoder),
}

/// Memory is reserved for at most this many entries or strings, because the announced number may be wrong.
const LARGEST_RESERVE: usize = 512;

impl ReadAnswer {
    /// A decoder for the answers to `command`.
    pub fn to(command: &'static str) -> Self {
        Self { command, entries: Vec::new(), expected: Expected::Answer, strings: Vec::new() }
    }

    /// Prepares for `entries` entries that follow; the beginning of their answer has been read elsewhere.
    pub(super) fn expect(&mut self, entries: usize) {
        self.entries.reserve(entries.min(LARGEST_RESERVE));
        self.expected = Expected::Entries(entries);
    }

    /// Reads the beginning of an answer: `*1`, then `*2` with the key and `*N` entries.
    fn begin(&mut self, input: &mut BytesMut) -> Result<bool, Malformed> {
        let Some(first) = input.first() else { return Ok(false) };
        if *first != b'*' {
            self.expected = Expected::Other(Decoder::default());
            return Ok(true);
        }
        let Some((streams, outer)) = array(input)? else { return Ok(false) };
        if streams == -1 {
            self.expected = Expected::Other(Decoder::default());
            return Ok(true);
        }
        let Some((parts, inner)) = array(&input[outer..])? else { return Ok(false) };
        if (streams, parts) != (1, 2) {
            return Err(Malformed("the answer to a read does not have the form of one stream"));
        }
        let key_at = outer + inner;
        let Some((_key, key)) = string(&input[key_at..])? else { return Ok(false) };
        let Some((entries, list)) = array(&input[key_at + key..])? else { return Ok(false) };
        input.advance(key_at + key + list);
        self.expect(usize::try_from(entries).unwrap_or(0));
        Ok(true)
    }

    /// Reads the beginning of an entry: `*2` with its id and `*N` strings.
    fn begin_entry(&mut self, input: &[u8], entries: usize) -> Result<bool, Malformed> {
        let Some((parts, outer)) = array(input)? else { return Ok(false) };
        let Some((id, text)) = string(&input[outer..])? else { return Ok(false) };
        let Some((count, list)) = array(&input[outer + text..])? else { return Ok(false) };
        let id = EntryId::from_bytes(id).filter(|_| parts == 2);
        let id = id.ok_or(Malformed("an entry is not an id and its fields"))?;
        // An entry that was deleted while pending has nil instead of fields.
        let count = usize::try_from(count).unwrap_or(0);
        self.strings.reserve(count.min(LARGEST_RESERVE));
        self.expected = Expected::Strings { id, count, from: outer + text + list, more: entries - 1 };
        Ok(true)
    }

    /// Collects the complete strings of an entry from the place `from` on; returns the place after the last of them.
    fn collect(&mut self, input: &[u8], count: usize, mut from: usize) -> Result<usize, Malformed> {
        while self.strings.len() < count
            && let Some((bytes, length)) = string(&input[from..])?
        {
            from += length;
            let end = from - b"\r\n".len();
            self.strings.push(end - bytes.len()..end);
        }
        Ok(from)
    }

    /// Takes a complete entry of `length` bytes.
    fn take(&mut self, input: &mut BytesMut, id: EntryId, length: usize) {
        let memory = Bytes::copy_from_slice(&input[..length]);
        input.advance(length);
        let fields = Fields::in_memory(memory, std::mem::take(&mut self.strings));
        self.entries.push(Entry { id, fields });
    }
}

impl Decode for ReadAnswer {
    type Answer = Result<Vec<Entry>, Error>;

    fn next(&mut self, input: &mut BytesMut) -> Result<Option<Self::Answer>, Malformed> {
        loop {
            let goes_on = match &mut self.expected {
                Expected::Answer => self.begin(input)?,
                Expected::Entries(0) => {
                    self.expected = Expected::Answer;
                    return Ok(Some(Ok(std::mem::take(&mut self.entries))));
                }
                Expected::Entries(entries) => {
                    let entries = *entries;
                    self.begin_entry(input, entries)?
                }
                Expected::Strings { id, count, from, more } => {
                    let (id, count, start, more) = (*id, *count, *from, *more);
                    let end = self.collect(input, count, start)?;
                    if self.strings.len() == count {
                        self.take(input, id, end);
                        self.expected = Expected::Entries(more);
                        true
                    } else {
                        self.expected = Expected::Strings { id, count, from: end, more };
                        false
                    }
                }
                Expected::Other(decoder) => {
                    let Some(value) = decoder.next(input)? else { return Ok(None) };
                    self.expected = Expected::Answer;
                    return Ok(Some(checked(value).and_then(|value| match value {
                        redis::Value::Nil => Ok(Vec::new()),
                        other => Err(Error::unexpected(self.command, &other)),
                    })));
                }
            };
            if !goes_on {
                return Ok(None);
            }
        }
    }

    fn missing(&self, input: &[u8]) -> usize {
        match self.expected {
            Expected::Strings { from, .. } => missing(&input[from..]),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::connection::ErrorKind;

    fn string_to(out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the answer of Redis with these entries.
    fn answer_to(out: &mut Vec<u8>, entries: &[Entry]) {
        if entries.is_empty() {
            return out.extend_from_slice(b"*-1\r\n");
        }
        out.extend_from_slice(b"*1\r\n*2\r\n");
        string_to(out, b"a stream");
        out.extend_from_slice(format!("*{}\r\n", entries.len()).as_bytes());
        for Entry { id, fields } in entries {
            out.extend_from_slice(b"*2\r\n");
            string_to(out, id.to_string().as_bytes());
            out.extend_from_slice(format!("*{}\r\n", fields.len() * 2).as_bytes());
            for (name, value) in fields.iter() {
                string_to(out, name);
                string_to(out, value);
            }
        }
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        let fields = prop::collection::vec((bytes(), bytes()), 0..4).prop_map(Fields::from_iter);
        let entry = (any::<u64>(), any::<u64>(), fields)
            .prop_map(|(ms, seq, fields)| Entry { id: EntryId { ms, seq }, fields });
        prop::collection::vec(entry, 0..5)
    }

    proptest! {
        #[test]
        fn entries_may_arrive_in_any_pieces(
            sent in prop::collection::vec(entries(), 1..4),
            cuts in prop::collection::vec(1usize..30, 1..100),
        ) {
            let mut bytes = Vec::new();
            sent.iter().for_each(|entries| answer_to(&mut bytes, entries));
            let (mut decoder, mut input, mut read) = (ReadAnswer::to("XREAD"), BytesMut::new(), Vec::new());
            let (mut rest, mut cuts) = (&bytes[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(cuts.next().expect("endless").min(rest.len()));
                rest = later;
                input.extend_from_slice(piece);
                while let Some(entries) = decoder.next(&mut input).expect("RESP2") {
                    read.push(entries.expect("entries"));
                }
                decoder.missing(&input);
            }
            prop_assert_eq!(read, sent);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn no_input_causes_a_panic(bytes in prop::collection::vec(prop_oneof![
            prop::sample::select(b"*$:+-\r\n0123456789".to_vec()), any::<u8>()
        ], 0..200)) {
            let start = b"*1\r\n*2\r\n$1\r\nx\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n";
            for at_first in [&b""[..], start] {
                let (mut decoder, mut input) = (ReadAnswer::to("XREAD"), BytesMut::from(at_first));
                input.extend_from_slice(&bytes);
                while let Ok(Some(_)) = decoder.next(&mut input) {}
                decoder.missing(&input);
            }
        }
    }

    #[test]
    fn nil_means_no_entries_and_an_error_stays_an_error() {
        let mut input = BytesMut::from(&b"*-1\r\n$-1\r\n-NOGROUP no such key\r\n:7\r\n"[..]);
        let mut decoder = ReadAnswer::to("XREADGROUP");
        let mut next = || decoder.next(&mut input).expect("RESP2").expect("complete");

        assert_eq!(next().expect("nothing"), []);
        assert_eq!(next().expect("nothing"), []);
        assert_eq!(next().expect_err("an error").kind(), ErrorKind::NoGroup);
        assert!(next().expect_err("no answer to a read").to_string().contains("XREADGROUP"));
    }

    #[test]
    fn an_entry_without_fields_is_read() {
        let text = "*1\r\n*2\r\n$1\r\nx\r\n*1\r\n*2\r\n$3\r\n1-2\r\n*-1\r\n";

        let entries = ReadAnswer::to("XREAD").next(&mut BytesMut::from(text));

        let deleted = Entry { id: EntryId { ms: 1, seq: 2 }, fields: Fields::default() };
        assert_eq!(entries.expect("RESP2").expect("complete").expect("entries"), [deleted]);
    }

    #[test]
    fn bytes_that_are_no_answer_to_a_read_are_refused() {
        for text in [
            "*2\r\n*2\r\n",
            "*1\r\n*3\r\n",
            "*1\r\n:1\r\n",
            "*1\r\n*2\r\n$1\r\nx\r\n*1\r\n*2\r\n$1\r\n-\r\n*0\r\n",
            "*1\r\n*2\r\n$1\r\nx\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n:1\r\n",
        ] {
            let answer = ReadAnswer::to("XREAD").next(&mut BytesMut::from(text));
            assert!(answer.is_err(), "{text}: {answer:?}");
        }
    }
}
