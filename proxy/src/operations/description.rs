//! The common parts of the OpenAPI description: the problems, each with a real example for its status,
//! and the admin token.

use std::collections::BTreeMap;

use serde_json::json;
use streamgate::envelope::{PROBLEM_JSON, Problem};
use streamgate::stream::NotReplayable;
use utoipa::IntoResponses;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Type,
};

use super::access::{NO_TOKEN, OFF};
use super::refusals::{NEITHER, NOT_JSON};

/// An error (RFC 9457, `application/problem+json`).
#[derive(utoipa::ToSchema)]
#[schema(as = Problem)]
#[allow(dead_code)] // only its schema is used; `streamgate::envelope::Problem` is what is sent
pub(super) struct ProblemSchema {
    /// A short name of the kind of problem.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened and what the caller can do.
    detail: String,
}

/// Problems of an operation on a stream.
pub(super) struct OfStream;

impl IntoResponses for OfStream {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (400, "The name is not UTF-8 text.", "the name of the stream must be text in UTF-8"),
            (401, "The admin token is wrong.", NO_TOKEN),
            (
                404,
                "The name is not that of a configured stream.",
                "there is no configured stream of this name; there are: weather-requests, weather-responses (and its lanes), \
                 {weather-requests}:dlq",
            ),
            (503, "Redis does not answer.", "the streams cannot be read now: Redis cannot be reached"),
        ])
    }
}

/// Problems of every operation that needs the admin token and Redis.
pub(super) struct Guarded;

impl IntoResponses for Guarded {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = problems(&[
            (401, "The admin token is missing or wrong.", NO_TOKEN),
            (403, "The process has no ADMIN_TOKEN, so these operations are off.", OFF),
            (
                503,
                "Redis does not answer. It may have made the change.",
                "the dead letters cannot be reached now: Redis cannot be reached",
            ),
        ]);
        if let Some(RefOr::T(response)) = responses.get_mut("401") {
            let challenge = HeaderBuilder::new()
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .description(Some("The required authorization"))
                .example(Some(json!("Bearer")))
                .build();
            response.headers.insert("www-authenticate".to_owned(), challenge.into());
        }
        responses
    }
}

const NO_STREAM: (u16, &str, &str) = (
    404,
    "This process does not serve the stream.",
    "this process serves no such stream; it serves: weather-requests",
);

/// Problems of an operation on a page of dead letters.
pub(super) struct OfPage;

impl IntoResponses for OfPage {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(400, "A parameter breaks its rule.", "count must be from 1 to 500"), NO_STREAM])
    }
}

/// Problems of a replay of one dead letter.
pub(super) struct OfReplay;

impl IntoResponses for OfReplay {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let refusal = NotReplayable::FieldsLeftOut(2).to_string();
        problems(&[(
            409,
            "The dead letter cannot be replayed, because some of its fields were left out.",
            &refusal,
        )])
    }
}

/// Problems of an operation on one dead letter.
pub(super) struct OfOne;

impl IntoResponses for OfOne {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (400, "The id is not an entry id.", "id must be an entry id such as 1763683200000-0"),
            (
                404,
                "The dead letter does not exist: it may have been replayed, discarded or trimmed. Or this process does not \
                 serve the stream.",
                "there is no dead letter 1763683200000-0 (any more)",
            ),
        ])
    }
}

/// Problems of an operation on many dead letters.
pub(super) struct OfMany;

impl IntoResponses for OfMany {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (400, "The body is not JSON.", "the body is not JSON: key must be a string at line 1 column 2"),
            NO_STREAM,
            (413, "The body is larger than 64 KiB.", "the body is larger than 65536 bytes"),
            (415, "The content-type is not JSON, or the body has a content-encoding.", NOT_JSON),
            (422, "The JSON breaks a rule.", NEITHER),
        ])
    }
}

/// Adds the security scheme if the settings have a `token`. Without a token, no operation shows a lock,
/// since no caller could open it.
pub(super) fn guard(api: &mut OpenApi, token: bool) {
    if token {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The ADMIN_TOKEN of the process"))
            .build();
        api.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
    let items = api.paths.paths.values_mut();
    for operation in items.flat_map(|item| [&mut item.get, &mut item.post, &mut item.delete]).flatten() {
        // With a token, no operation answers 403; without one, no operation answers 401.
        operation.responses.responses.remove(if token { "403" } else { "401" });
        if !token {
            operation.security = None;
        }
    }
}

/// One response for each row: status, description and example of a detail.
fn problems(table: &[(u16, &str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let response = |status, when: &str, detail: &str| {
        let example = json!(Problem::new(status, detail));
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .example(Some(example))
            .build();
        ResponseBuilder::new().description(when).content(PROBLEM_JSON, content).build()
    };
    table
        .iter()
        .map(|(status, when, detail)| (status.to_string(), response(*status, when, detail).into()))
        .collect()
}
