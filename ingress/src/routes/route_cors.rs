//! Lets web pages send requests to a route of the routes file, if the route says so (CORS, the fetch standard).

use std::str::FromStr;

use ::routes::{Cors, Origins, Route};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION,
    CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use service::api_key::X_API_KEY;

use super::answer::PASSED;
use super::passed_on::IDEMPOTENCY_KEY;
use crate::cors::exposed;

/// The method that a browser asks permission for; `None` if the request is no such question. The inner value is `None`
/// for a text that is no method.
pub(super) fn preflight(headers: &HeaderMap) -> Option<Option<Method>> {
    let asked = headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| headers.contains_key(ORIGIN))?;
    Some(asked.to_str().ok().and_then(|method| Method::from_str(method).ok()))
}

/// The answer to a preflight; `None` if CORS is off on this route. Another page than those of the route gets no
/// permission.
pub(super) fn answer(route: &Route, headers: &HeaderMap) -> Option<Response> {
    let cors = route.cors.as_ref()?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    answer.insert(
        VARY,
        HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers"),
    );
    if let Some(origin) = allowed(cors, headers) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, list(route.methods.iter().map(Method::as_str)));
        let usual = [CONTENT_TYPE, AUTHORIZATION, X_API_KEY, IDEMPOTENCY_KEY];
        let fields = usual.iter().chain(&cors.headers).map(HeaderName::as_str);
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, list(fields));
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(cors.max_age.as_secs()));
    }
    Some(response)
}

/// What an answer tells the browser.
pub(super) struct Permission {
    /// `None`: the page may not read the answer.
    origin: Option<HeaderValue>,
}

/// The permission for the page that sent a request with these headers; `None` if CORS is off on this route.
pub(super) fn permission(route: &Route, headers: &HeaderMap) -> Option<Permission> {
    route.cors.as_ref().map(|cors| Permission { origin: allowed(cors, headers) })
}

impl Permission {
    /// Sets the headers of an answer.
    pub(super) fn announce(self, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = self.origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let fields = exposed();
            let fields = fields.iter().map(HeaderName::as_str).chain(PASSED);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, list(fields));
        }
    }
}

/// The value of `access-control-allow-origin`, if the page is one of the route's.
fn allowed(cors: &Cors, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    match &cors.origins {
        Origins::Any => Some(HeaderValue::from_static("*")),
        Origins::Only(origins) => origins.contains(origin).then(|| origin.clone()),
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> HeaderValue {
    let names: Vec<&str> = names.collect();
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}
