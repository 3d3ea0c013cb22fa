use std::borrow::Cow;
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

    /// Hands each field to `put`, in the order of `docs/PROTOCOL.md`.
    pub fn encode(&self, mut put: impl FnMut(&str, &[u8])) {
        let mut number = itoa::Buffer::new();
        put("id", self.id.encode(&mut [0; 36]).as_bytes());
        put("status", number.format(self.status).as_bytes());
        put_content_type(&self.content_type, &mut put);
        put("body", &self.body);
        put("worker", self.worker.as_bytes());
        if self.attempt > 1 {
            put("attempt", number.format(self.attempt).as_bytes());
        }
        put("work_us", number.format(self.work.as_micros() as u64).as_bytes());
        if let Some(wait) = self.retry_after {
            // Rounded up: coming back early helps nobody.
            put("retry_after", number.format(wait.as_millis().div_ceil(1_000) as u64).as_bytes());
        }
    }

    /// Reads a reply from the fields of an entry; unknown fields are ignored, `content_type`,
    /// `worker`, `attempt` and `work_us` may be absent.
    ///
    /// # Errors
    /// `id`, `status` or `body` is missing, or `id` is no UUID, or `status` is no final HTTP
    /// status, or `content_type` could not stand in a header.
    pub fn decode(fields: &Fields) -> Result<Self, EnvelopeError> {
        let names = ["id", "status", "content_type", "body", "worker", "attempt", "work_us", "retry_after"];
        let [id, status, content_type, body, worker, attempt, work, retry_after] = fields.pick(names);
        let worker = worker.and_then(|worker| std::str::from_utf8(worker).ok());
        Ok(Self {
            id: id_of(id)?,
            status: number(status.ok_or(EnvelopeError::Missing("status"))?)
                .and_then(|status| u16::try_from(status).ok())
                .filter(|status| Self::is_final_status(*status))
                .ok_or(EnvelopeError::Invalid { field: "status", rule: "an HTTP status from 200 to 599" })?,
            content_type: content_type_of(content_type)?,
            body: fields.share(body.ok_or(EnvelopeError::Missing("body"))?),
            worker: worker.unwrap_or_default().into(),
            attempt: attempt.and_then(number).and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            work: Duration::from_micros(work.and_then(number).unwrap_or(0)),
            retry_after: retry_after.and_then(number).map(Duration::from_secs),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_survives_the_wire() {
        let reply = Reply {
            id: CorrelationId::mint(),
            status: 200,
            content_type: "application/json".into(),
            body: Bytes::from_static(b"{}"),
            worker: "w-1".into(),
            attempt: 2,
            work: Duration::from_micros(1_234),
            retry_after: Some(Duration::from_secs(5)),
        };

        let mut fields = Vec::new();
        reply.encode(|name, value| fields.push((name.to_owned(), value.to_vec())));

        assert_eq!(Reply::decode(&Fields::from_iter(fields)), Ok(reply));
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
                matches!(Reply::decode(&fields), Err(EnvelopeError::Invalid { field: "status", .. })),
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

        assert!(matches!(Reply::decode(&fields), Err(EnvelopeError::Invalid { field: "content_type", .. })));
    }
}
