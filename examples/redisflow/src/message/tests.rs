use streamgate::codec::Json;

use super::*;

/// A message of a schema that is newer than this program.
#[derive(Clone, PartialEq, prost::Message)]
struct Newer {
    #[prost(string, tag = "1")]
    producer: String,
    #[prost(string, tag = "2")]
    content: String,
    #[prost(message, optional, tag = "3")]
    created_at: Option<prost_types::Timestamp>,
    #[prost(uint32, tag = "4")]
    priority: u32,
    #[prost(string, tag = "5000")]
    room: String,
}

fn event(producer: &str, content: &str, at: &str) -> Event {
    let producer = producer.parse().expect("a name");
    Event::new(&producer, content.to_owned(), at.parse().expect("a time"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[test]
fn the_golden_vector_is_met_byte_for_byte() {
    let golden = "0A0950726F647563657231120D48656C6C6F2C205265646973211A0608E0CBA4C806";
    let event = event("Producer1", "Hello, Redis!", "2025-11-03T22:00:00Z");

    let bytes = EventCodec.encode(&event).expect("encodes");

    assert_eq!((bytes.len(), hexadecimal(&bytes).as_str()), (34, golden));
    assert_eq!(EventCodec.decode(&bytes).expect("decodes"), event);
    assert!(include_str!("../../../../docs/schemas/CHANGELOG.md").contains(golden));
}

#[test]
fn utc_unicode_empty_and_long_texts_come_back_as_they_were() {
    let long = "long ".repeat(100_000);
    for (content, at) in [
        ("", "1970-01-01T00:00:00Z"),
        ("Grüße, мир, 世界 🚀 \u{0} \u{1b}[31m", "2025-11-03T23:59:59.999999999+02:00"),
        (&long, "1901-12-13T20:45:52Z"),
    ] {
        let event = event("Producer1", content, at);

        let decoded = EventCodec.decode(&EventCodec.encode(&event).expect("encodes")).expect("decodes");

        assert_eq!(decoded, event);
        assert_eq!(decoded.created_at(), Some(at.parse().expect("a time")));
        assert_eq!(decoded.check(), Ok(()));
    }
}

#[test]
fn protobuf_is_smaller_than_json() {
    let event = event("Producer1", "Message #1 from Producer1 at 22:00:00", "2025-11-03T22:00:00Z");
    let json = serde_json::json!({
        "producer": event.message.producer, "content": event.message.content,
        "createdAt": event.created_at().map(|at| at.to_string()),
    });

    let (protobuf, json) =
        (EventCodec.encode(&event).expect("encodes"), Json.encode(&json).expect("encodes"));

    assert!(protobuf.len() * 3 / 2 < json.len(), "{} and {} bytes", protobuf.len(), json.len());
}

#[test]
fn an_unknown_field_of_a_newer_schema_survives() {
    let newer = Newer {
        producer: "Producer1".to_owned(),
        content: "newer".to_owned(),
        created_at: Some(prost_types::Timestamp { seconds: 1, nanos: 2 }),
        priority: 7,
        room: "general".to_owned(),
    };
    let bytes = Protobuf.encode(&newer).expect("encodes");

    let mut event = EventCodec.decode(&bytes).expect("decodes");
    event.message.content = "changed".to_owned();
    let written = EventCodec.encode(&event).expect("encodes");

    let read: Newer = Protobuf.decode(&written).expect("decodes");
    assert_eq!(read, Newer { content: "changed".to_owned(), ..newer });
}

#[test]
fn bytes_that_are_no_message_are_an_error() {
    for bytes in [&b"\xff"[..], b"not protobuf", b"\x0a\x05abc", b"\x0a\x02\xff\xfe", b"\x20"] {
        assert!(EventCodec.decode(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_message_without_producer_or_time_breaks_a_rule() {
    let good = event("Producer1", "x", "2025-11-03T22:00:00Z");
    let (mut nameless, mut timeless, mut beyond) = (good.clone(), good.clone(), good.clone());
    nameless.message.producer.clear();
    timeless.message.created_at = None;
    beyond.message.created_at = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });

    let rules = [good, nameless, timeless, beyond].map(|event| event.check().err().unwrap_or_default());

    assert_eq!(rules[0], "");
    assert!(rules[1].starts_with("the producer must have 1 to 100 characters"), "{}", rules[1]);
    assert_eq!(rules[2..], ["created_at is missing, or is no time"; 2]);
}

#[test]
fn producer_names_are_trimmed_and_checked() {
    let (longest, too_long) = ("x".repeat(100), "x".repeat(101));
    for (text, name) in [
        ("Producer1", "Producer1"),
        ("  Producer1\t", "Producer1"),
        ("a", "a"),
        ("a.b-c_d@e:f/1", "a.b-c_d@e:f/1"),
        ("Erzeuger_ü", "Erzeuger_ü"),
        (&longest, &longest),
    ] {
        assert_eq!(text.parse::<ProducerName>().expect(text).to_string(), name);
    }
    for (text, rule) in [
        ("", "must have 1 to 100 characters"),
        (" \t\n", "must have 1 to 100 characters"),
        (&too_long, "must have 1 to 100 characters"),
        ("two words", "must have letters, digits and"),
        ("semi;colon", "must have letters, digits and"),
        ("line\nbreak", "must have letters, digits and"),
        ("\u{1b}[31m", "must have letters, digits and"),
        ("a#1", "must have letters, digits and"),
    ] {
        assert!(text.parse::<ProducerName>().expect_err(text).starts_with(rule), "{text:?}");
    }
}
