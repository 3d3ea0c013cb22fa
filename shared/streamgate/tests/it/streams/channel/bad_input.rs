//! Input that cannot be used: a typed error that says what to do, and nothing is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use streamgate::channel::{StartError, StreamChannel, WriteError};
use streamgate::codec::{Codec, CodecError, Json};
use streamgate::stream::{EntryId, Group};
use streamgate::testing::RedisServer;

use super::{STREAM, channel, group, length, reader, send, take};
use crate::harness::redis;

/// JSON has no such map: its keys are texts.
type Unencodable = BTreeMap<(u8, u8), u8>;

#[tokio::test]
async fn a_value_that_cannot_be_encoded_sends_nothing() {
    let server = RedisServer::start();
    let channel = StreamChannel::<Pairs, Json>::with_codec(&redis(&server), STREAM, Json).expect("a name");
    let bad = Pairs(Unencodable::from([((1, 2), 3)]));

    let error = channel.writer().send_batch(&[Pairs::default(), bad, Pairs::default()]).await;

    let error = error.expect_err("no JSON");
    let text = error.to_string();
    assert!(text.starts_with("value 1 cannot be encoded, and nothing was sent: json: "), "{text}");
    assert!(matches!(error, WriteError::Encode { position: 1, source: CodecError::Format { .. } }));
    assert_eq!(length(&server, STREAM), 0);
}

/// A value that JSON can write only if it is empty.
#[derive(Default)]
struct Pairs(Unencodable);

impl serde::Serialize for Pairs {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self::default())
    }
}

#[tokio::test]
async fn a_batch_of_100_000_values_is_stored_in_order() {
    let server = RedisServer::start();

    let ids = send(&server, 0..100_000).await;

    assert_eq!((ids.len(), length(&server, STREAM)), (100_000, 100_000));
    assert!(ids.is_sorted_by(|a, b| a < b));
    let mut reader = reader(&server, "a").batch(1_000).await.expect("starts");
    let messages = take(&mut reader, 2_000).await;
    assert!(messages.iter().map(|message| message.value).eq(0..2_000));
}

#[tokio::test]
async fn an_empty_batch_is_no_error() {
    let server = RedisServer::start();

    assert_eq!(send(&server, []).await, []);
}

#[tokio::test]
async fn a_value_of_64_mib_is_refused_unless_it_is_allowed() {
    let server = RedisServer::start();
    let channel = StreamChannel::<Bytes, Raw>::with_codec(&redis(&server), STREAM, Raw).expect("a name");
    let large = Bytes::from(vec![7; 64 << 20]);

    let error = channel.writer().send(&large).await.expect_err("too large");

    assert!(matches!(error, WriteError::TooLarge { position: 0, .. }));
    assert!(error.to_string().contains("raise `largest_value`"), "{error}");
    assert_eq!(length(&server, STREAM), 0);
    channel.writer().largest_value(1 << 20).send(&large.slice(..1_000_000)).await.expect("small enough");
    assert_eq!(length(&server, STREAM), 1);
}

#[tokio::test]
async fn options_out_of_range_are_named() {
    let server = RedisServer::start();
    let error = async |builder: streamgate::channel::ReaderBuilder<u64>| match builder.await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    };
    let of = |group: Group| channel(&server).reader(group);

    assert!(error(reader(&server, "a").batch(0)).await.contains("1 to 10000 entries"));
    assert!(error(reader(&server, "a").batch(10_001)).await.contains("1 to 10000 entries"));
    assert!(error(reader(&server, "a").max_deliveries(0)).await.contains("at least 1"));
    assert!(error(of(group("a").lease(Duration::from_millis(1)))).await.contains("at least 100 ms"));
    assert!(error(of(group("a").block(Duration::ZERO))).await.contains("at least 1 ms"));
    assert!(error(of(Group::new("two words"))).await.contains("visible ASCII characters"));
    assert!(error(reader(&server, "")).await.contains("visible ASCII characters"));
    assert!(StreamChannel::<u64>::new(&redis(&server), "two words").is_err());
}

#[tokio::test]
async fn a_key_of_another_type_is_refused_at_the_start() {
    let server = RedisServer::start();
    server.command::<()>(&["SET", STREAM, "text"]);

    let Err(error) = reader(&server, "a").await else { panic!("it started") };

    assert!(matches!(error, StartError::NotAStream(_)));
    assert!(error.to_string().contains("choose another name for the stream"), "{error}");
    assert_eq!(server.command::<String>(&["GET", STREAM]), "text");
    assert!(channel(&server).replay(EntryId::MIN..).await.is_err());
}

/// Bytes as they are.
struct Raw;

impl Codec<Bytes> for Raw {
    fn content_type(&self) -> &'static str {
        "application/octet-stream"
    }

    fn encode(&self, value: &Bytes) -> Result<Bytes, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Bytes, CodecError> {
        Ok(Bytes::copy_from_slice(bytes))
    }
}
