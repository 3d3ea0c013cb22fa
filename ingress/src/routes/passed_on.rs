//! The head of a request as it travels to the worker: what a route passes on.

use ::routes::{Delivery, Idempotency, Route};
use axum::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap,
    HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use axum::http::{Method, Uri};
use service::api_key::X_API_KEY;
use streamgate::envelope::HttpHead;

use crate::problem::Failure;

/// Makes the work of a repeated request be done once (draft-ietf-httpapi-idempotency-key-header).
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Fields that belong to one connection or to the framing of a body (RFC 9110, 7.6.1), or travel in a place of their
/// own. They are never passed on, whatever a file says.
const NEVER: [HeaderName; 15] = [
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    EXPECT,
    HOST,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    IDEMPOTENCY_KEY,
    crate::answer_layer::X_REQUEST_ID,
];

/// The head of a request for `route`. With `key_checked`, the field that carried the API key of the gateway is not
/// passed on: the service behind must not learn it.
///
/// # Errors
/// The `Idempotency-Key` is missing or not valid.
pub(super) fn head_of(
    route: &Route,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    key_checked: bool,
) -> Result<Box<HttpHead>, Failure> {
    let key_field = match headers.contains_key(X_API_KEY) {
        true => X_API_KEY,
        false => AUTHORIZATION,
    };
    let is_key = |name: &HeaderName| key_checked && *name == key_field;
    let stays = |name: &HeaderName| NEVER.contains(name) || is_key(name) || *name == CONTENT_ENCODING;
    let chosen = route.request.headers.iter().filter(|name| !stays(name));
    let mut passed = Vec::new();
    // What is encoded cannot be understood without this field.
    for name in chosen.chain([&CONTENT_ENCODING]) {
        for value in headers.get_all(name) {
            if let Some(value) = text(value) {
                passed.push((name.as_str().to_owned(), value.to_owned()));
            }
        }
    }
    Ok(Box::new(HttpHead {
        route: route.id.clone(),
        method: method.as_str().to_owned(),
        target: uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string),
        headers: passed,
        idempotency_key: idempotency_key(route, headers)?,
        at_most_once: route.delivery == Delivery::AtMostOnce,
    }))
}

fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

fn idempotency_key(route: &Route, headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (keys.next(), keys.next()) {
        (None, _) if route.durability.idempotency == Idempotency::Required => Err(Failure::bad_request(
            "this path needs the header idempotency-key: send a new one with each new request, and the same one when you repeat a request",
        )),
        (None, _) => Ok(None),
        (Some(key), None) => {
            let is_key =
                |key: &&str| (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
            let key = text(key).filter(is_key).map(|key| Some(key.to_owned()));
            key.ok_or(Failure::bad_request("send an idempotency-key of 1 to 255 visible ASCII characters"))
        }
        (Some(_), Some(_)) => Err(Failure::bad_request("send at most one idempotency-key")),
    }
}
