//! What the NATS gateway and its worker say to each other: 16 bytes of id before the request's body,
//! 2 bytes of status before the reply's. NATS headers would be the usual place and cost both a parser.

use async_nats::ConnectOptions;
use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// The subject of requests.
pub const SUBJECT: &str = "forecasts";
/// The queue group that shares them.
pub const GROUP: &str = "workers";
/// Messages that may wait inside a client: more than callers, so that none is ever dropped.
const QUEUE: usize = 65_536;

const ID: usize = 16;
const STATUS: usize = 2;

/// How both sides connect.
pub fn options() -> ConnectOptions {
    ConnectOptions::new()
        .subscription_capacity(QUEUE)
        .client_capacity(QUEUE)
        .read_buffer_capacity(u16::MAX)
        .skip_subject_validation(true)
        .retry_on_initial_connect()
}

/// A request on the wire.
pub fn request(id: Uuid, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(ID + body.len());
    bytes.put_slice(id.as_bytes());
    bytes.put_slice(body);
    bytes.freeze()
}

/// Parses a request; `None` if the bytes are no request.
pub fn read_request(mut bytes: Bytes) -> Option<(Uuid, Bytes)> {
    let body = (bytes.len() >= ID).then(|| bytes.split_off(ID))?;
    Some((Uuid::from_slice(&bytes).ok()?, body))
}

/// A reply on the wire.
pub fn reply(status: u16, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(STATUS + body.len());
    bytes.put_u16(status);
    bytes.put_slice(body);
    bytes.freeze()
}

/// Parses a reply; `None` if the bytes are no reply.
pub fn read_reply(mut bytes: Bytes) -> Option<(u16, Bytes)> {
    let body = (bytes.len() >= STATUS).then(|| bytes.split_off(STATUS))?;
    Some((u16::from_be_bytes([bytes[0], bytes[1]]), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_survive_the_wire_and_fragments_are_none() {
        let id = Uuid::now_v7();

        let asked = read_request(request(id, b"{}"));
        let answered = read_reply(reply(422, b"[]"));

        assert_eq!(asked, Some((id, Bytes::from_static(b"{}"))));
        assert_eq!(answered, Some((422, Bytes::from_static(b"[]"))));
        assert_eq!(read_request(Bytes::from_static(b"short")), None);
        assert_eq!(read_reply(Bytes::from_static(b"1")), None);
    }
}
