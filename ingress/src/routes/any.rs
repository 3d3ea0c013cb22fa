//! Serves the routes of the routes file: finds the route of a request, checks the request by its rules, sends it, and
//! answers with the reply of the worker.

use std::borrow::Cow;
use std::sync::Arc;

use ::routes::{Auth, BodySchema, Check, NotFound, Route};
use axum::Extension;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use service::http::body::BodyLimits;
use service::http::{body, is_encoded, swagger};
use streamgate::envelope::CorrelationId;
use streamgate::requester::{Answer, Call};

use super::answer::{answer_with, pass_headers};
use super::passed_on::head_of;
use super::route_cors;
use crate::answer_layer::RouteLabel;
use crate::api_keys::guard::{Pass, admit};
use crate::gateway::Gateway;
use crate::problem::Failure;
use crate::serving::{Line, Served, Serving};

/// A larger body is checked against its schema beside the requests, because that takes long.
const LARGE: usize = 64 << 10;

/// Answers a request whose path no other handler serves.
pub async fn serve(
    State(gateway): State<Arc<Gateway>>,
    Extension(id): Extension<CorrelationId>,
    request: Request,
) -> Response {
    let served = gateway.serving.current();
    if request.method() == Method::OPTIONS
        && let Some(answer) = options(&served, &request)
    {
        return answer;
    }
    let route = match served.routes.find(request.method(), request.uri().path()) {
        Ok(found) => Arc::clone(found.route),
        Err(NotFound::Path) if request.uri().path() == "/" => {
            return swagger::to_page().await.into_response();
        }
        Err(NotFound::Path) => return Failure::not_found().into_response(),
        Err(NotFound::Method { allow }) => {
            return ([(ALLOW, list(&allow))], Failure::method_not_allowed()).into_response();
        }
    };
    let Some(line) = served.line(&route) else { return Failure::not_found().into_response() };
    let permission = route_cors::permission(&route, request.headers());
    let mut response = answer(&gateway.serving, &route, line, id, request).await;
    if let Some(permission) = permission {
        permission.announce(response.headers_mut());
    }
    response.extensions_mut().insert(RouteLabel(route));
    response
}

async fn answer(
    serving: &Serving,
    route: &Arc<Route>,
    line: &Line,
    id: CorrelationId,
    request: Request,
) -> Response {
    let keys = serving.keys().filter(|_| route.auth != Auth::None);
    let pass = match keys.map(|keys| admit(keys, request.headers(), &route.scopes, Some(id))).transpose() {
        Ok(pass) => pass,
        Err(refusal) => return *refusal,
    };
    let answered = match &line.forecasts {
        Some(forecasts) => forecasts.answer(id, request).await,
        None => exchange(serving, route, line, id, request, pass.as_ref()).await,
    };
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    if let Some(pass) = pass {
        pass.announce(response.headers_mut());
    }
    response
}

/// Checks a request, sends it and waits for the reply.
async fn exchange(
    serving: &Serving,
    route: &Route,
    line: &Line,
    id: CorrelationId,
    request: Request,
    pass: Option<&Pass>,
) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    if has_dot_segment(head.uri.path()) {
        return Err(Failure::bad_request("send a path without the segments . and .., also percent-encoded"));
    }
    let is_empty = body.is_end_stream();
    check_content_type(route, &head.method, &head.headers, is_empty)?;
    let http = head_of(route, &head.method, &head.uri, &head.headers, pass.is_some())?;
    let content_type = content_type(&head.headers, is_empty)?;
    let trace = head.extensions.get().copied();
    // Frees the headers and the path, which are not needed while the caller waits.
    drop(head);
    let limits = BodyLimits { size: route.request.body_limit, time: serving.body_time() };
    let body = body::read(body, limits).await?;
    if let Some(schema) = &route.request.schema {
        check_schema(schema, &body).await?;
    }
    let to = line.to(pass.and_then(Pass::priority)).clone();
    let call = Call { to, id, trace, content_type, body, timeout: route.timeout, http: Some(http) };
    let answer = serving.requester().request(call).await?;
    check_reply(route, line, id, &answer)?;
    let headers = pass_headers(&answer.reply, route);
    let mut response = answer_with(answer);
    response.headers_mut().extend(headers);
    Ok(without_content(response))
}

/// RFC 9110, 15.5.16. Methods that usually have no body need no media type without one.
fn check_content_type(
    route: &Route,
    method: &Method,
    headers: &HeaderMap,
    is_empty: bool,
) -> Result<(), Failure> {
    let needs_none = [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS].contains(method);
    let text = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let has_none = is_empty && text.is_none() && needs_none;
    if !has_none && !route.request.accepts(text) {
        return Err(Failure::none_of_the_media_types(&route.request.content_types));
    }
    // A body that is encoded cannot be checked; without a schema it is passed on as it is.
    match route.request.schema.is_some() && is_encoded(headers) {
        true => Err(Failure::unsupported_encoding()),
        false => Ok(()),
    }
}

/// The media type that travels with the body. A body without one may be anything (RFC 9110, 8.3); on the stream, the
/// default is JSON, which says nothing about an empty body.
fn content_type(headers: &HeaderMap, is_empty: bool) -> Result<Cow<'static, str>, Failure> {
    const WRONG: &str = "send a content-type of at most 255 visible ASCII characters";
    match headers.get(CONTENT_TYPE) {
        None if is_empty => Ok(Cow::Borrowed("application/json")),
        None => Ok(Cow::Borrowed("application/octet-stream")),
        Some(value) => {
            let text =
                value.to_str().ok().filter(|text| streamgate::envelope::is_media_type(text.as_bytes()));
            text.map(|text| Cow::Owned(text.to_owned())).ok_or(Failure::bad_request(WRONG))
        }
    }
}

async fn check_schema(schema: &BodySchema, body: &Bytes) -> Result<(), Failure> {
    let checked = if body.len() <= LARGE {
        schema.check(body)
    } else {
        let (schema, body) = (schema.clone(), body.clone());
        let beside = tokio::task::spawn_blocking(move || schema.check(&body)).await;
        beside.map_err(|error| Failure::internal(format!("the check of a body failed: {error}")))?
    };
    checked.map_err(Failure::body_breaks_schema)
}

/// Checks a successful reply, if the route says so.
fn check_reply(route: &Route, line: &Line, id: CorrelationId, answer: &Answer) -> Result<(), Failure> {
    let reply = &answer.reply;
    let (Some(schema), true) = (&route.reply.schema, (200..=299).contains(&reply.status)) else {
        return Ok(());
    };
    if route.reply.check == Check::Off {
        return Ok(());
    }
    let Err(faults) = schema.check(&reply.body) else { return Ok(()) };
    line.bad_replies.increment(1);
    let first = faults.first().map(|fault| format!("{:?} {}", fault.pointer, fault.detail));
    tracing::warn!(%id, route = route.id, worker = &*reply.worker, fault = first, "a reply breaks its schema");
    if route.reply.check == Check::Enforce { Err(Failure::bad_reply()) } else { Ok(()) }
}

/// RFC 9110, 15.3.5 and 15.4.5: these statuses have no content.
fn without_content(mut response: Response) -> Response {
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        *response.body_mut() = axum::body::Body::empty();
        response.headers_mut().remove(CONTENT_TYPE);
    }
    response
}

/// The answer to OPTIONS, unless a route serves it. It is for a browser that asks for permission, or for a caller that
/// asks which methods the path accepts.
fn options(served: &Served, request: &Request) -> Option<Response> {
    let (routes, path) = (&served.routes, request.uri().path());
    if let Some(asked) = route_cors::preflight(request.headers()) {
        let route = asked.and_then(|method| routes.find(&method, path).ok()).map(|found| found.route);
        if let Some(answer) = route.and_then(|route| route_cors::answer(route, request.headers())) {
            return Some(answer);
        }
    }
    if routes.find(&Method::OPTIONS, path).is_ok() {
        return None;
    }
    let allow = routes.methods_at(path);
    if allow.is_empty() {
        return None;
    }
    let allow = [(ALLOW, list(&allow))];
    Some(match route_cors::preflight(request.headers()) {
        Some(_) => (allow, Failure::cors_is_off_here()).into_response(),
        None => (StatusCode::NO_CONTENT, allow).into_response(),
    })
}

fn list(methods: &[Method]) -> HeaderValue {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

/// True if a segment of the path is `.` or `..`, also percent-encoded. A service may resolve such a path to one outside
/// of its route.
fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        plain == "." || plain == ".."
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_found_however_they_are_written() {
        for path in ["/..", "/a/../b", "/a/.", "/%2e%2E/b", "/.%2e", "/a/%2e"] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in ["/", "/a.b/c", "/...", "/a/.hidden", "/%2e%2e%2e", "/..a"] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }
}
