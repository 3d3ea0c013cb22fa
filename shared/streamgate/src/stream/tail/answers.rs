use bytes::{Buf, Bytes, BytesMut};
use redis::Value;

use crate::connection::{Decode, Decoder, Error, Malformed, array, string};
use crate::stream::{Entry, ReadAnswer};

/// Decodes the answers of an XREAD of several streams directly from the socket's bytes: for each stream that has
/// entries its key and its entries. Entries are decoded as [`ReadAnswer`] decodes them.
pub(super) struct Answers {
    entries: ReadAnswer,
    /// The streams of the answer that are complete.
    streams: Vec<(Bytes, Vec<Entry>)>,
    /// The number of streams that are not complete.
    missing: usize,
    /// The key of the stream whose entries are being read.
    open: Option<Bytes>,
}

impl Answers {
    pub(super) fn to(command: &'static str) -> Self {
        Self { entries: ReadAnswer::to(command), streams: Vec::new(), missing: 0, open: None }
    }

    /// Reads the beginning of a stream: `*2` with its key and `*N` entries.
    fn begin_stream(&mut self, input: &mut BytesMut) -> Result<bool, Malformed> {
        let Some((parts, outer)) = array(input)? else { return Ok(false) };
        if parts != 2 {
            return Err(Malformed("a stream in the answer to a read is not a key and its entries"));
        }
        let Some((key, length)) = string(&input[outer..])? else { return Ok(false) };
        let Some((entries, list)) = array(&input[outer + length..])? else { return Ok(false) };
        self.open = Some(Bytes::copy_from_slice(key));
        self.entries.expect(usize::try_from(entries).unwrap_or(0));
        input.advance(outer + length + list);
        Ok(true)
    }
}

impl Decode for Answers {
    type Answer = Result<Vec<(Bytes, Vec<Entry>)>, Error>;

    fn next(&mut self, input: &mut BytesMut) -> Result<Option<Self::Answer>, Malformed> {
        loop {
            if let Some(key) = &self.open {
                let Some(entries) = self.entries.next(input)? else { return Ok(None) };
                let entries = entries.map_err(|_| Malformed("entries are due"))?;
                self.streams.push((key.clone(), entries));
                self.open = None;
                self.missing -= 1;
                if self.missing == 0 {
                    return Ok(Some(Ok(std::mem::take(&mut self.streams))));
                }
            } else if self.missing > 0 {
                if !self.begin_stream(input)? {
                    return Ok(None);
                }
            } else if !matches!(input.first(), Some(b'*')) || input.starts_with(b"*-") {
                // Nil or an error.
                let Some(answer) = self.entries.next(input)? else { return Ok(None) };
                return Ok(Some(answer.map(|_| Vec::new())));
            } else {
                let Some((streams, line)) = array(input)? else { return Ok(None) };
                input.advance(line);
                self.missing = usize::try_from(streams).unwrap_or(0);
                if self.missing == 0 {
                    return Ok(Some(Ok(Vec::new())));
                }
            }
        }
    }

    fn missing(&self, input: &[u8]) -> usize {
        self.entries.missing(input)
    }
}

/// Decodes the answers of a pipeline in which one command may fail and the others count.
#[derive(Default)]
pub(super) struct EachAnswer(Decoder);

impl Decode for EachAnswer {
    type Answer = Result<Value, Error>;

    fn next(&mut self, input: &mut BytesMut) -> Result<Option<Self::Answer>, Malformed> {
        Ok(self.0.next(input)?.map(Ok))
    }

    fn missing(&self, input: &[u8]) -> usize {
        self.0.missing(input)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fields::Fields;
    use crate::stream::EntryId;

    fn string_to(out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the answer of Redis with these streams; each entry has its stream's name as a field.
    fn answer_to(out: &mut Vec<u8>, streams: &[(String, Vec<u64>)]) {
        if streams.is_empty() {
            return out.extend_from_slice(b"*-1\r\n");
        }
        out.extend_from_slice(format!("*{}\r\n", streams.len()).as_bytes());
        for (key, ids) in streams {
            out.extend_from_slice(b"*2\r\n");
            string_to(out, key.as_bytes());
            out.extend_from_slice(format!("*{}\r\n", ids.len()).as_bytes());
            for ms in ids {
                out.extend_from_slice(b"*2\r\n");
                string_to(out, format!("{ms}-0").as_bytes());
                out.extend_from_slice(b"*2\r\n");
                string_to(out, b"of");
                string_to(out, key.as_bytes());
            }
        }
    }

    proptest! {
        #[test]
        fn several_streams_may_arrive_in_any_pieces(
            sent in prop::collection::vec(
                prop::collection::vec(("[a-z]{1,9}", prop::collection::vec(any::<u64>(), 0..4)), 0..4), 1..4),
            cuts in prop::collection::vec(1usize..30, 1..100),
        ) {
            let mut bytes = Vec::new();
            sent.iter().for_each(|streams| answer_to(&mut bytes, streams));
            let (mut decoder, mut input, mut read) = (Answers::to("XREAD"), BytesMut::new(), Vec::new());
            let (mut rest, mut cuts) = (&bytes[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(cuts.next().expect("endless").min(rest.len()));
                rest = later;
                input.extend_from_slice(piece);
                while let Some(streams) = decoder.next(&mut input).expect("RESP2") {
                    read.push(streams.expect("streams"));
                }
                decoder.missing(&input);
            }
            let expected: Vec<Vec<(Bytes, Vec<Entry>)>> = sent.iter().map(|streams| {
                streams.iter().map(|(key, ids)| {
                    let entry = |ms: &u64| Entry { id: EntryId { ms: *ms, seq: 0 }, fields: Fields::from_iter([("of", key)]) };
                    (Bytes::from(key.clone()), ids.iter().map(entry).collect())
                }).collect()
            }).collect();
            prop_assert_eq!(read, expected);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn no_input_causes_a_panic(bytes in prop::collection::vec(prop_oneof![
            prop::sample::select(b"*$:+-\r\n0123456789".to_vec()), any::<u8>()
        ], 0..200)) {
            let start = b"*2\r\n*2\r\n$1\r\nx\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n";
            for at_first in [&b""[..], start] {
                let (mut decoder, mut input) = (Answers::to("XREAD"), BytesMut::from(at_first));
                input.extend_from_slice(&bytes);
                while let Ok(Some(_)) = decoder.next(&mut input) {}
                decoder.missing(&input);
            }
        }
    }

    #[test]
    fn an_error_is_an_error_and_the_next_answer_is_read() {
        let mut input = BytesMut::from(&b"-WRONGTYPE no stream\r\n*-1\r\n"[..]);
        let mut decoder = Answers::to("XREAD");
        let mut next = || decoder.next(&mut input).expect("RESP2").expect("complete");

        assert!(next().expect_err("an error").to_string().contains("WRONGTYPE"));
        assert_eq!(next().expect("nothing"), []);
    }
}
