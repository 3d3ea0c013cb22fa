//! Every key of a routes file: its kind, its default and its meaning. The reader, the JSON Schema for editors and the
//! reference in docs/ROUTES.md are all made from these tables, so they agree.

use crate::route::{Auth, Check, Delivery, Durable, Idempotency, Priority};

use super::rules::{
    ANY, ANY_FIELD, FIELD, GROUP, ID, MEDIA_TYPE, METHOD, ORIGIN, PATH, Rule, SCOPE, STREAM, URL,
};

/// One key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) absent: Absent,
    pub(super) doc: &'static str,
}

/// What a key holds.
pub(super) enum Kind {
    Text(&'static Rule),
    /// One text or several.
    Texts(&'static Rule),
    Choice(&'static [&'static str]),
    Flag,
    Count(u64, u64),
    /// Bounds in the form of the file.
    Duration(&'static str, &'static str),
    /// The largest size in bytes.
    Size(u64),
    Percent,
    Section(&'static [Key]),
    /// A list of sections.
    Sections(&'static [Key]),
    /// Sections by name.
    Named(&'static [Key]),
    /// Texts by the name of a header field.
    Fields,
}

/// What a missing key means.
pub(super) enum Absent {
    Required,
    Nothing,
    /// This value, as it would be written.
    Is(&'static str),
    /// The value in `defaults`.
    Inherited,
    /// A section all of whose keys are missing.
    Empty,
}

use Absent::{Empty, Inherited, Is, Nothing, Required};
use Kind::{Choice, Count, Duration, Fields, Flag, Named, Percent, Section, Sections, Size, Text, Texts};

/// The largest body of a request or an answer: an entry of a stream holds it whole.
const LARGEST_BODY: u64 = 8 << 20;
/// The longest a caller may wait: reply lanes are kept for a multiple of this time.
const LONGEST_WAIT: &str = "10m";

const fn key(name: &'static str, kind: Kind, absent: Absent, doc: &'static str) -> Key {
    Key { name, kind, absent, doc }
}

#[rustfmt::skip]
pub(super) static FILE: [Key; 5] = [
    key("$schema", Text(&ANY), Nothing, "where editors find the schema of this file"),
    key("version", Choice(&["1"]), Required, "the version of this format"),
    key("defaults", Section(&DEFAULTS), Empty, "what routes have that do not say otherwise"),
    key("routes", Sections(&ROUTE), Required, "the routes, at most 1,000"),
    key("upstreams", Named(&UPSTREAM), Nothing, "the HTTP services that proxy forwards to, by name"),
];

#[rustfmt::skip]
pub(super) static DEFAULTS: [Key; 5] = [
    key("timeout", Duration("10ms", LONGEST_WAIT), Is("30s"), "how long a caller waits; also the deadline of the work"),
    key("body_limit", Size(LARGEST_BODY), Is("1MiB"), "the largest body of a request; a larger one gets 413"),
    key("auth", Choice(Auth::NAMES), Is("if-configured"), "whether a caller needs an API key: if the gateway has a file of keys, always, or never"),
    key("priority", Choice(Priority::NAMES), Is("normal"), "which requests workers take first, 8 high for 4 normal for 1 low"),
    key("delivery", Choice(Delivery::NAMES), Is("at-least-once"), "whether work whose worker was lost is done again; with at-most-once its caller gets 502 and the entry becomes a dead letter"),
];

#[rustfmt::skip]
pub(super) static ROUTE: [Key; 19] = [
    key("id", Text(&ID), Required, "its name in metrics, logs and entries, unique in the file"),
    key("summary", Text(&ANY), Nothing, "what it does, for the OpenAPI document"),
    key("match", Section(&MATCH), Required, "the requests it takes"),
    key("stream", Text(&STREAM), Required, "the Redis stream that its requests wait on"),
    key("group", Text(&GROUP), Nothing, "the consumer group of the workers; without it STREAM-workers"),
    key("upstream", Text(&ID), Nothing, "the upstream that proxy forwards to; a route has this or handler"),
    key("handler", Choice(&["weather", "external"]), Nothing, "who else does the work: the weather built into proxy, or workers of your own, which proxy leaves alone"),
    key("timeout", Duration("10ms", LONGEST_WAIT), Inherited, "as in defaults"),
    key("priority", Choice(Priority::NAMES), Inherited, "as in defaults"),
    key("delivery", Choice(Delivery::NAMES), Inherited, "as in defaults"),
    key("auth", Choice(Auth::NAMES), Inherited, "as in defaults"),
    key("scopes", Texts(&SCOPE), Nothing, "what the API key must be allowed, each of these"),
    key("cors", Section(&CORS), Nothing, "which web pages may send requests (CORS); without it, none"),
    key("request", Section(&REQUEST), Empty, "what a request must be like"),
    key("reply", Section(&REPLY), Empty, "what a reply must be like"),
    key("durable", Choice(Durable::NAMES), Is("never"), "whether answers outlive the connection; only never is available yet"),
    key("idempotency", Choice(Idempotency::NAMES), Is("off"), "what Idempotency-Key means to the gateway; only off is available yet"),
    key("deadline", Duration("1s", "24h"), Nothing, "how long the work of a durable request is worth doing; not available yet"),
    key("callback", Flag, Is("false"), "whether a caller may ask to be called back; only false is available yet"),
];

#[rustfmt::skip]
pub(super) static MATCH: [Key; 2] = [
    key("method", Texts(&METHOD), Required, "the method, or several; GET takes HEAD too"),
    key("path", Text(&PATH), Required, "literal segments, {name} for one segment, {*name} at the end for the rest"),
];

#[rustfmt::skip]
pub(super) static REQUEST: [Key; 4] = [
    key("content_types", Texts(&MEDIA_TYPE), Nothing, "the media types accepted, others get 415; without it all, or application/json if there is a schema"),
    key("schema", Text(&ANY), Nothing, "the JSON Schema (2020-12) of the body, a path below the folder of this file; without it bodies are not parsed"),
    key("body_limit", Size(LARGEST_BODY), Inherited, "as in defaults"),
    key("headers", Texts(&FIELD), Nothing, "header fields that travel with the request, beside those that the upstream passes"),
];

#[rustfmt::skip]
pub(super) static REPLY: [Key; 2] = [
    key("schema", Text(&ANY), Nothing, "the JSON Schema of the body of replies with 200 to 299"),
    key("check", Choice(Check::NAMES), Is("off"), "what happens if a reply breaks it: nothing, a count and a line in the log, or 502"),
];

#[rustfmt::skip]
pub(super) static CORS: [Key; 3] = [
    key("origins", Texts(&ORIGIN), Required, "the origins of the pages, or * for all"),
    key("headers", Texts(&ANY_FIELD), Nothing, "header fields that pages may send, beside content-type, authorization and x-api-key"),
    key("max_age", Duration("0s", "24h"), Is("10m"), "how long a browser keeps a permission"),
];

#[rustfmt::skip]
pub(super) static UPSTREAM: [Key; 9] = [
    key("url", Text(&URL), Required, "its address, which logs show; a path in it is put before the path of a request"),
    key("concurrency", Count(1, 10_000), Is("64"), "requests that one proxy sends at once"),
    key("connect", Duration("10ms", "1m"), Is("1s"), "longest time to connect, TLS included"),
    key("timeout", Duration("10ms", LONGEST_WAIT), Is("30s"), "longest time of one attempt"),
    key("idempotent", Flag, Is("false"), "doing the work twice does no harm, so it is sent again if its answer was lost"),
    key("honours_idempotency_key", Flag, Is("false"), "it does the work once per Idempotency-Key, so it is sent again if its answer was lost"),
    key("headers", Section(&HEADERS), Empty, "the header fields it gets"),
    key("breaker", Section(&BREAKER), Empty, "when proxy stops asking it"),
    key("reply", Section(&UPSTREAM_REPLY), Empty, "what its answers must be like"),
];

#[rustfmt::skip]
pub(super) static HEADERS: [Key; 2] = [
    key("pass", Texts(&FIELD), Nothing, "passed on from the caller; cookie and authorization only if they are named here"),
    key("set", Fields, Nothing, "set by proxy, over what the caller sent; values are never logged"),
];

#[rustfmt::skip]
pub(super) static BREAKER: [Key; 3] = [
    key("failures", Percent, Is("50%"), "opens when this share of requests failed"),
    key("of", Count(1, 10_000), Is("20"), "of this number of requests, the last ones"),
    key("open", Duration("100ms", LONGEST_WAIT), Is("10s"), "how long it stays open before one request tries again"),
];

#[rustfmt::skip]
pub(super) static UPSTREAM_REPLY: [Key; 1] = [
    key("body_limit", Size(LARGEST_BODY), Is("1MiB"), "its largest answer; a larger one is a 502"),
];
