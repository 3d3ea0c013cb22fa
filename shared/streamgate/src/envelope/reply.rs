use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::request::{JSON, content_type_of, id_of};
use super::{CorrelationId, EnvelopeError, PROBLEM_JSON, Problem, header_lines};
use crate::fields::{Fields, number};

/// What a worker sends back for a [`Request`](super::Request).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The id of the request.
    pub id: CorrelationId,
    /// An HTTP status, 200 to 599.
    pub status: u16,
    /// Media type of `body`.
    pub content_type: Cow<'static, str>,
    /// The payload; the gateway passes it on without reading it.
    pub body: Bytes,
    /// The name of the worker.
    pub worker: Arc<str>,
    /// Which delivery of the entry this was, counted from 1.
    pub attempt: u32,
    /// Time spent in the handler.
    pub work: Duration,
    /// With a 503 or 429: how long the caller should wait before the next try. Encoded in whole seconds.
    pub retry_after: Option<Duration>,
    /// Further header fields of the answer, names in lower case; usually none. The gateway passes on those it allows.
    pub headers: Vec<(String, String)>,
}

impl Reply {
    /// True if `status` can be the status of an HTTP answer: 200 to 599.
    pub fn is_final_status(status: u16) -> bool {
        (200..=599).contains(&status)
    }

    /// An error reply with a problem body.
    pub fn problem(id: CorrelationId, status: u16, detail: impl Into<String>) -> Self {
        Self {
            id,
            status,
            content_type: Cow::Borrowed(PROBLEM_JSON),
            body: Problem::new(status, detail).for_request(id).to_body(),
            worker: "".into(),
            attempt: 1,
            work: Duration::ZERO,
            retry_after: None,
            headers: Vec::new(),
        }
    }

    /// Calls `put` with each field of one entry that holds `replies`, in the order of `docs/PROTOCOL.md`.
    pub fn encode_all<'a>(replies: impl IntoIterator<Item = &'a Self>, mut put: impl FnMut(&str, &[u8])) {
        let mut before = None;
        for reply in replies {
            reply.encode(before, &mut put);
            before = Some(reply);
        }
    }

    /// Leaves out the fields whose values equal those of the reply `before`.
    fn encode(&self, before: Option<&Self>, mut put: impl FnMut(&str, &[u8])) {
        let mut number = itoa::Buffer::new();
        let micros = |reply: &Self| reply.work.as_micros() as u64;
        put("id", self.id.encode(&mut [0; 36]).as_bytes());
        if before.is_none_or(|before| before.status != self.status) {
            put("status", number.format(self.status).as_bytes());
        }
        if self.content_type != before.map_or(JSON, |before| &before.content_type) {
            put("content_type", self.content_type.as_bytes());
        }
        put("body", &self.body);
        if before.is_none_or(|before| before.worker != self.worker) {
            put("worker", self.worker.as_bytes());
        }
        if self.attempt != before.map_or(1, |before| before.attempt) {
            put("attempt", number.format(self.attempt).as_bytes());
        }
        if before.is_none_or(|before| micros(before) != micros(self)) {
            put("work_us", number.format(micros(self)).as_bytes());
        }
        if let Some(wait) = self.retry_after {
            // Rounded up: a caller that returns too early is refused again.
            put("retry_after", number.format(wait.as_millis().div_ceil(1_000) as u64).as_bytes());
        }
        header_lines::put(&self.headers, put);
    }

    /// Reads the replies in the fields of an entry. If an entry holds several replies, each begins with its `id`.
    ///
    /// Unknown fields are ignored. `content_type`, `worker`, `attempt` and `work_us` may be absent. If such a field, or
    /// `status`, is absent in a later reply, its value is that of the reply before. Malformed header lines are dropped.
    ///
    /// # Errors
    /// An error takes the place of a reply whose `id`, `status` or `body` is missing, whose `id` is no UUID, whose
    /// `status` is no final HTTP status, or whose `content_type` is not valid in a header.
    pub fn decode_all(fields: &Fields) -> impl Iterator<Item = Result<Self, EnvelopeError>> {
        let mut inherited = Inherited::default();
        // The fields of a single reply come in any order.
        let mut ends = fields.positions("id").skip(1).chain([fields.len()]);
        let mut start = 0;
        std::iter::from_fn(move || {
            let end = ends.next()?;
            Some(inherited.next(fields, std::mem::replace(&mut start, end)..end))
        })
    }
}

/// The last values of the fields that a later reply of the same entry may leave out.
#[derive(Default)]
struct Inherited<'a> {
    status: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    worker: Arc<str>,
    attempt: Option<&'a [u8]>,
    work: Option<&'a [u8]>,
}

impl<'a> Inherited<'a> {
    /// Reads the next reply.
    fn next(&mut self, fields: &'a Fields, part: Range<usize>) -> Result<Reply, EnvelopeError> {
        let names = [
            "id",
            "status",
            "content_type",
            "body",
            "worker",
            "attempt",
            "work_us",
            "retry_after",
            "headers",
        ];
        let [id, status, content_type, body, worker, attempt, work, retry_after, headers] =
            fields.pick_in(part, names);
        self.status = status.or(self.status);
        self.content_type = content_type.or(self.content_type);
        self.attempt = attempt.or(self.attempt);
        self.work = work.or(self.work);
        if let Some(worker) = worker {
            self.worker = std::str::from_utf8(worker).unwrap_or_default().into();
        }
        Ok(Reply {
            id: id_of(id)?,
            status: number(self.status.ok_or(EnvelopeError::Missing("status"))?)
                .and_then(|status| u16::try_from(status).ok())
                .filter(|status| Reply::is_final_status(*status))
                .ok_or(EnvelopeError::Invalid { field: "status", rule: "an HTTP status from 200 to 599" })?,
            content_type: content_type_of(self.content_type)?,
            body: fields.share(body.ok_or(EnvelopeError::Missing("body"))?),
            worker: Arc::clone(&self.worker),
            attempt: self.attempt.and_then(number).and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            work: Duration::from_micros(self.work.and_then(number).unwrap_or(0)),
            retry_after: retry_after.and_then(number).map(Duration::from_secs),
            headers: headers.map(header_lines::decode).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(worker: &str) -> Reply {
        Reply {
            id: CorrelationId::mint(),
            status: 200,
            content_type: "application/json".into(),
            body: Bytes::from_static(b"{}"),
            worker: worker.into(),
            attempt: 2,
            work: Duration::from_micros(1_234),
            retry_after: Some(Duration::from_secs(5)),
            headers: Vec::new(),
        }
    }

    /// The fields of an entry with these replies.
    fn entry(replies: &[Reply]) -> Fields {
        let mut fields = Vec::new();
        Reply::encode_all(replies, |name, value| fields.push((name.to_owned(), value.to_vec())));
        Fields::from_iter(fields)
    }

    fn decode(fields: &Fields) -> Result<Reply, EnvelopeError> {
        let replies: Vec<_> = Reply::decode_all(fields).collect();
        let [reply] = <[_; 1]>::try_from(replies).expect("one");
        reply
    }

    #[test]
    fn a_decoded_reply_equals_the_encoded_one() {
        let reply = reply("w-1");

        assert_eq!(decode(&entry(std::slice::from_ref(&reply))), Ok(reply));
    }

    #[test]
    fn several_replies_share_one_entry() {
        let other = Reply {
            status: 503,
            content_type: "text/plain".into(),
            attempt: 1,
            work: Duration::ZERO,
            retry_after: None,
            ..reply("w-2")
        };
        let again = Reply { id: CorrelationId::mint(), ..other.clone() };
        let replies = [reply("w-1"), other, again, reply(""), reply("w-1")];

        assert_eq!(Reply::decode_all(&entry(&replies)).collect::<Result<Vec<_>, _>>(), Ok(replies.to_vec()));
    }

    #[test]
    fn a_value_equal_to_that_of_the_reply_before_is_left_out() {
        let replies = [reply("w-1"), reply("w-1"), Reply { status: 503, ..reply("w-1") }];

        let fields = entry(&replies);

        let names: Vec<_> = fields.iter().map(|(name, _)| str::from_utf8(name).expect("text")).collect();
        let first = ["id", "status", "body", "worker", "attempt", "work_us", "retry_after"];
        let later = ["id", "body", "retry_after", "id", "status", "body", "retry_after"];
        assert_eq!(names, [&first[..], &later].concat());
    }

    #[test]
    fn header_fields_belong_to_one_reply_only() {
        let headers = vec![("etag".to_owned(), "\"7\"".to_owned()), ("location".to_owned(), "/a".to_owned())];
        let replies = [reply("w-1"), Reply { headers, ..reply("w-1") }, reply("w-1")];

        let fields = entry(&replies);

        assert_eq!(Reply::decode_all(&fields).collect::<Result<Vec<_>, _>>(), Ok(replies.to_vec()));
        assert_eq!(
            fields.positions("headers").count(),
            1,
            "a reply without header fields costs nothing more"
        );
    }

    #[test]
    fn the_fields_of_a_single_reply_come_in_any_order() {
        let reply = Reply { attempt: 1, retry_after: None, work: Duration::ZERO, ..reply("w-1") };
        let id = reply.id.to_string();
        let fields = [("worker", "w-1"), ("status", "200"), ("body", "{}"), ("unknown", "id"), ("id", &id)];

        assert_eq!(decode(&Fields::from_iter(fields)), Ok(reply));
    }

    #[test]
    fn an_unreadable_reply_leaves_the_others_readable() {
        let [first, last] = [reply("w-1"), Reply { status: 503, retry_after: None, ..reply("w-1") }];
        let (before, after) = (entry(std::slice::from_ref(&first)), last.id.to_string());
        let unreadable = [("id", "no uuid"), ("status", "503"), ("body", "")].into_iter();
        let later = unreadable.chain([("id", after.as_str()), ("body", "{}")]);
        let later = later.map(|(name, value)| (name.as_bytes(), value.as_bytes()));

        let replies: Vec<_> = Reply::decode_all(&Fields::from_iter(before.iter().chain(later))).collect();

        let unreadable =
            Err(EnvelopeError::Invalid { field: "id", rule: "a UUID, 36 characters with hyphens" });
        assert_eq!(replies, [Ok(first), unreadable, Ok(last)]);
    }

    #[test]
    fn an_entry_without_fields_is_no_reply() {
        assert_eq!(decode(&Fields::default()), Err(EnvelopeError::Missing("id")));
    }

    #[test]
    fn a_status_that_is_not_valid_in_http_is_refused() {
        for status in ["", "100", "999", "OK", "-1"] {
            let fields = Fields::from_iter([
                ("id", CorrelationId::mint().to_string()),
                ("status", status.to_owned()),
                ("body", String::new()),
            ]);
            assert!(
                matches!(decode(&fields), Err(EnvelopeError::Invalid { field: "status", .. })),
                "{status}"
            );
        }
    }

    #[test]
    fn a_content_type_that_is_not_valid_in_a_header_is_refused() {
        let fields = Fields::from_iter([
            ("id", CorrelationId::mint().to_string()),
            ("status", "200".to_owned()),
            ("content_type", "text/plain\r\nx-evil: 1".to_owned()),
            ("body", String::new()),
        ]);

        assert!(matches!(decode(&fields), Err(EnvelopeError::Invalid { field: "content_type", .. })));
    }
}
