//! What travels: [`Event`], the message of docs/schemas/message.proto, and how it becomes bytes.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use jiff::Timestamp;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use streamgate::channel::StreamChannel;
use streamgate::codec::{Codec, CodecError, Protobuf};

mod schema {
    include!(concat!(env!("OUT_DIR"), "/redisflow.rs"));
}

pub use schema::EventMessage;

/// The stream of events.
pub type Events = StreamChannel<Event, EventCodec>;

/// The fields of the schema that this program was built with have tags up to this one.
const LAST_TAG: u32 = 3;

/// One event. It keeps the fields of newer schemas, so that they are still there if it is written again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    /// The fields that this program knows.
    pub message: EventMessage,
    /// The others, as they were encoded.
    unknown: Vec<u8>,
}

impl Event {
    /// An event of `producer`, made `at` this time.
    pub fn new(producer: &ProducerName, content: String, at: Timestamp) -> Self {
        let created_at = prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() };
        let producer = producer.to_string();
        Self {
            message: EventMessage { producer, content, created_at: Some(created_at) },
            unknown: Vec::new(),
        }
    }

    /// When it was made; `None` if its producer left that out, or wrote a time outside the years -9999 to 9999.
    pub fn created_at(&self) -> Option<Timestamp> {
        let at = self.message.created_at.as_ref()?;
        Timestamp::new(at.seconds, at.nanos).ok()
    }

    /// Checks what the encoding does not: who made it, and when.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(&self) -> Result<(), String> {
        self.message.producer.parse::<ProducerName>().map_err(|rule| format!("the producer {rule}"))?;
        self.created_at().map(drop).ok_or_else(|| "created_at is missing, or is no time".to_owned())
    }
}

/// Protocol Buffers, as [`Protobuf`] writes them, without the loss of fields that this program does not know.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventCodec;

impl Codec<Event> for EventCodec {
    fn content_type(&self) -> &'static str {
        Codec::<EventMessage>::content_type(&Protobuf)
    }

    fn reads(&self, essence: &str) -> bool {
        Codec::<EventMessage>::reads(&Protobuf, essence)
    }

    fn encode(&self, event: &Event) -> Result<Bytes, CodecError> {
        let known = Protobuf.encode(&event.message)?;
        Ok([known.as_ref(), &event.unknown].concat().into())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Event, CodecError> {
        let message = Protobuf.decode(bytes)?;
        let unknown = unknown_fields(bytes).map_err(|error| CodecError::new("protobuf", error))?;
        Ok(Event { message, unknown })
    }
}

fn unknown_fields(mut bytes: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
    let mut unknown = Vec::new();
    while !bytes.is_empty() {
        let field = bytes;
        let (tag, wire_type) = decode_key(&mut bytes)?;
        skip_field(wire_type, tag, &mut bytes, DecodeContext::default())?;
        if tag > LAST_TAG {
            unknown.extend_from_slice(&field[..field.len() - bytes.len()]);
        }
    }
    Ok(unknown)
}

/// The name of a producer: 1 to 100 letters, digits and `. - _ @ : /`, without spaces around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerName(String);

/// The most characters of a [`ProducerName`].
const LONGEST_NAME: usize = 100;

impl FromStr for ProducerName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim();
        let length = name.chars().count();
        if !(1..=LONGEST_NAME).contains(&length) {
            return Err("must have 1 to 100 characters, spaces around them not counted");
        }
        if !name.chars().all(|c| c.is_alphanumeric() || ".-_@:/".contains(c)) {
            return Err("must have letters, digits and . - _ @ : / only");
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for ProducerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
