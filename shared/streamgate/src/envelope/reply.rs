use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::request::{content_type_of, id_of, put_content_type};
use super::{CorrelationId, EnvelopeError, PROBLEM_JSON, Problem};
use crate::fields::{Fields, number};

/// The answer to a [`Request`](super::Request), as it travels back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request this answers.
    pub id: CorrelationId,
    /// An HTTP status, 200 to 599.
    pub status: u16,
    /// Media type of `body`.
    pub content_type: Cow<'static, str>,
    /// The payload, passed through unread by the gateway.
    pub body: Bytes,
    /// Which worker answered.
    pub worker: Arc<str>,
    /// Which delivery of the entry this was, counted from 1.
    pub attempt: u32,
    /// Time spent in the handler.
    pub work: Duration,
    /// When it makes sense to try again, for a 503 or 429: whole seconds on the wire.
    pub retry_after: Option<Duration>,
}

impl Reply {
    /// True if HTTP can answer with `status`: 200 to 599.
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
        }
    }

    /// Hands each field to `put`, in the order of `docs/PROTOCOL.md`; `before` is the reply in front of
    /// this one, if both go into one entry.
    pub fn encode(&self, before: Option<&Self>, mut put: impl FnMut(&str, &[u8])) {
        let mut number = itoa::Buffer::new();
        put("id", self.id.encode(&mut [0; 36]).as_bytes());
        put("status", number.format(self.status).as_bytes());
        put_content_type(&self.content_type, &mut put);
        put("body", &self.body);
        if before.is_none_or(|before| before.worker != self.worker) {
            put("worker", self.worker.as_bytes());
        }
        if self.attempt > 1 {
            put("attempt", number.format(self.attempt).as_bytes());
        }
        put("work_us", number.format(self.work.as_micros() as u64).as_bytes());
        if let Some(wait) = self.retry_after {
            // Rounded up: coming back early helps nobody.
            put("retry_after", number.format(wait.as_millis().div_ceil(1_000) as u64).as_bytes());
        }
    }

    /// Reads the replies in the fields of an entry: one, or several of which each begins with its `id`.
    /// Unknown fields are ignored, `content_type`, `worker`, `attempt` and `work_us` may be absent.
    ///
    /// # Errors
    /// In the place of a reply: its `id`, `status` or `body` is missing, or `id` is no UUID, or `status` is
    /// no final HTTP status, or `content_type` could not stand in a header.
    pub fn decode_all(fields: &Fields) -> impl Iterator<Item = Result<Self, EnvelopeError>> {
        let mut worker = Arc::from("");
        // The fields of a lone reply come in any order.
        let mut ends = fields.positions("id").skip(1).chain([fields.len()]);
        let mut start = 0;
        std::iter::from_fn(move || {
            let end = ends.next()?;
            let part = std::mem::replace(&mut start, end)..end;
            Some(Self::decode(fields, part, &mut worker))
        })
    }

    /// Reads one; `worker` is who made the one before it.
    fn decode(fields: &Fields, part: Range<usize>, worker: &mut Arc<str>) -> Result<Self, EnvelopeError> {
        let names = ["id", "status", "content_type", "body", "worker", "attempt", "work_us", "retry_after"];
        let [id, status, content_type, body, named, attempt, work, retry_after] = fields.pick_in(part, names);
        if let Some(name) = named {
            *worker = std::str::from_utf8(name).unwrap_or_default().into();
        }
        Ok(Self {
            id: id_of(id)?,
            status: number(status.ok_or(EnvelopeError::Missing("status"))?)
                .and_then(|status| u16::try_from(status).ok())
                .filter(|status| Self::is_final_status(*status))
                .ok_or(EnvelopeError::Invalid { field: "status", rule: "an HTTP status from 200 to 599" })?,
            content_type: content_type_of(content_type)?,
            body: fields.share(body.ok_or(EnvelopeError::Missing("body"))?),
            worker: Arc::clone(worker),
            attempt: attempt.and_then(number).and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            work: Duration::from_micros(work.and_then(number).unwrap_or(0)),
            retry_after: retry_after.and_then(number).map(Duration::from_secs),
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
        }
    }

    /// The fields of an entry with these replies.
    fn entry(replies: &[Reply]) -> Fields {
        let mut fields = Vec::new();
        let mut before = None;
        for reply in replies {
            reply.encode(before, |name, value| fields.push((name.to_owned(), value.to_vec())));
            before = Some(reply);
        }
        Fields::from_iter(fields)
    }

    fn decode(fields: &Fields) -> Result<Reply, EnvelopeError> {
        let replies: Vec<_> = Reply::decode_all(fields).collect();
        let [reply] = <[_; 1]>::try_from(replies).expect("one");
        reply
    }

    #[test]
    fn a_reply_survives_the_wire() {
        let reply = reply("w-1");

        assert_eq!(decode(&entry(std::slice::from_ref(&reply))), Ok(reply));
    }

    #[test]
    fn several_replies_survive_in_one_entry_and_name_their_worker_once() {
        let lone = Reply { content_type: "text/plain".into(), attempt: 1, retry_after: None, ..reply("w-1") };
        let replies = [reply("w-1"), lone, reply("w-2"), reply(""), reply("")];

        let fields = entry(&replies);

        assert_eq!(fields.positions("worker").count(), 3);
        assert_eq!(Reply::decode_all(&fields).collect::<Result<Vec<_>, _>>(), Ok(replies.to_vec()));
    }

    #[test]
    fn the_fields_of_a_lone_reply_come_in_any_order() {
        let reply = Reply { attempt: 1, retry_after: None, work: Duration::ZERO, ..reply("w-1") };
        let id = reply.id.to_string();
        let fields = [("worker", "w-1"), ("status", "200"), ("body", "{}"), ("unknown", "id"), ("id", &id)];

        assert_eq!(decode(&Fields::from_iter(fields)), Ok(reply));
    }

    #[test]
    fn one_that_cannot_be_read_spoils_no_other() {
        let (first, last) = (reply("w-1"), reply("w-1"));
        let mut fields = Vec::new();
        first.encode(None, |name, value| fields.push((name.to_owned(), value.to_vec())));
        fields.push(("id".to_owned(), b"no uuid".to_vec()));
        fields.push(("body".to_owned(), Vec::new()));
        last.encode(Some(&first), |name, value| fields.push((name.to_owned(), value.to_vec())));

        let replies: Vec<_> = Reply::decode_all(&Fields::from_iter(fields)).collect();

        let unreadable =
            Err(EnvelopeError::Invalid { field: "id", rule: "a UUID, 36 characters with hyphens" });
        assert_eq!(replies, [Ok(first), unreadable, Ok(last)]);
    }

    #[test]
    fn an_entry_without_fields_is_no_reply() {
        assert_eq!(decode(&Fields::default()), Err(EnvelopeError::Missing("id")));
    }

    #[test]
    fn a_status_that_http_could_not_send_is_refused() {
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
    fn a_content_type_that_would_break_a_header_is_refused() {
        let fields = Fields::from_iter([
            ("id", CorrelationId::mint().to_string()),
            ("status", "200".to_owned()),
            ("content_type", "text/plain\r\nx-evil: 1".to_owned()),
            ("body", String::new()),
        ]);

        assert!(matches!(decode(&fields), Err(EnvelopeError::Invalid { field: "content_type", .. })));
    }
}
