//! Formats of values.

use serde::{Deserialize, Serialize};
use streamgate::channel::{ReadError, StreamChannel};
use streamgate::codec::{Codec, CodecError, Json, MessagePack, Protobuf};
use streamgate::stream::EntryId;
use streamgate::testing::RedisServer;

use super::STREAM;
use crate::harness::redis;

#[derive(Clone, PartialEq, prost::Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EventMessage {
    #[prost(string, tag = "1")]
    producer: String,
    #[prost(string, tag = "2")]
    content: String,
    #[prost(message, optional, tag = "3")]
    created_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    customer: String,
    cents: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Created { name: String },
    Deleted,
}

fn event() -> EventMessage {
    let created_at = Some(Timestamp { seconds: 1_762_207_200, nanos: 0 });
    EventMessage { producer: "Producer1".to_owned(), content: "Hello, Redis!".to_owned(), created_at }
}

/// Writes a value and replays it.
async fn round_trip<T: Send + 'static, C: Codec<T> + 'static>(server: &RedisServer, codec: C, value: T) -> T {
    let channel = StreamChannel::with_codec(&redis(server), STREAM, codec).expect("a name");
    channel.writer().send(&value).await.expect("stored");
    let mut replay = channel.replay(EntryId::MIN..).await.expect("reads");
    replay.next().await.expect("an entry").expect("decodes").value
}

/// The fields of the only entry.
fn entry(server: &RedisServer) -> Fields {
    let entries: Vec<(String, Fields)> = server.command(&["XRANGE", STREAM, "-", "+"]);
    entries.into_iter().next().expect("an entry").1
}

type Fields = Vec<(String, Vec<u8>)>;

#[test]
fn protobuf_encodes_the_agreed_example() {
    let bytes = Protobuf.encode(&event()).expect("encodes");

    let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(hex, "0A0950726F647563657231120D48656C6C6F2C205265646973211A0608E0CBA4C806");
}

#[tokio::test]
async fn a_protobuf_value_is_stored_with_its_content_type() {
    let server = RedisServer::start();

    assert_eq!(round_trip(&server, Protobuf, event()).await, event());

    let fields = entry(&server);
    assert_eq!(fields[0], ("content_type".to_owned(), b"application/x-protobuf".to_vec()));
    assert_eq!((fields[1].0.as_str(), fields[1].1.len(), fields.len()), ("body", 34, 2));
}

#[tokio::test]
async fn a_message_pack_value_keeps_the_names_of_its_fields() {
    let server = RedisServer::start();
    let order = Order { customer: "Ørsta".to_owned(), cents: 250 };

    assert_eq!(round_trip(&server, MessagePack, order.clone()).await, order);

    let fields = entry(&server);
    assert_eq!(fields[0].1, b"application/vnd.msgpack");
    assert!(fields[1].1.windows(8).any(|bytes| bytes == b"customer"), "{fields:?}");
    let json = Json.encode(&order).expect("encodes");
    assert!(fields[1].1.len() < json.len());
}

#[test]
fn bytes_of_another_format_are_refused_with_its_name() {
    let protobuf: Result<EventMessage, _> = Protobuf.decode(b"\xff\xff");
    let message_pack: Result<Order, _> = MessagePack.decode(b"\xc1");

    assert!(protobuf.expect_err("no message").to_string().starts_with("protobuf: "));
    assert!(message_pack.expect_err("no order").to_string().starts_with("message pack: "));
}

#[tokio::test]
async fn an_entry_of_another_content_type_is_refused() {
    let server = RedisServer::start();
    let json = StreamChannel::<u64>::new(&redis(&server), STREAM).expect("a name");
    let add = |content_type: &[&str], body: &str| {
        let fields = [&["XADD", STREAM, "*"], content_type, &["body", body]].concat();
        server.command::<String>(&fields);
    };
    add(&["content_type", "application/vnd.msgpack"], "1");
    add(&["content_type", "Application/JSON; charset=utf-8"], "2");
    add(&[], "3");

    let mut replay = json.replay(EntryId::MIN..).await.expect("reads");

    let Some(Err(ReadError::Undecodable { source, .. })) = replay.next().await else { panic!("an error") };
    let text = source.to_string();
    assert!(matches!(source, CodecError::ContentType { .. }));
    assert!(text.contains("`application/vnd.msgpack`") && text.contains("`application/json`"), "{text}");
    for value in [2, 3] {
        assert_eq!(replay.next().await.expect("an entry").expect("decodes").value, value);
    }
}

#[test]
fn a_codec_reads_the_other_names_of_its_format() {
    let reads = |essence: &str| Codec::<Order>::reads(&MessagePack, essence);

    assert!(reads("application/vnd.msgpack") && reads("application/msgpack"));
    assert!(!reads("application/json"));
    assert!(Codec::<EventMessage>::reads(&Protobuf, "application/protobuf"));
}

#[tokio::test]
async fn an_enum_with_a_tag_holds_several_kinds_of_values() {
    let server = RedisServer::start();
    let channel = StreamChannel::<Event>::new(&redis(&server), STREAM).expect("a name");
    let sent = [Event::Created { name: "Ada".to_owned() }, Event::Deleted];
    channel.writer().send_batch(&sent).await.expect("stored");
    let unknown = r#"{"type":"std::process::Command","name":"rm"}"#;
    server.command::<String>(&["XADD", STREAM, "*", "body", unknown]);

    let mut replay = channel.replay(EntryId::MIN..).await.expect("reads");

    for value in sent {
        assert_eq!(replay.next().await.expect("an entry").expect("decodes").value, value);
    }
    let error = replay.next().await.expect("an entry").expect_err("no such variant");
    assert!(error.to_string().contains("unknown variant"), "{error}");
}
