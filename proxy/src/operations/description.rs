//! What all operations have in common in their description: problems, and how to be let in.

use std::collections::BTreeMap;

use serde_json::json;
use streamgate::envelope::{PROBLEM_JSON, Problem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Type,
};
use utoipa::{IntoResponses, Modify};

use super::access::{NO_TOKEN, OFF};

/// An error (RFC 9457, `application/problem+json`).
#[derive(utoipa::ToSchema)]
#[schema(as = Problem)]
#[allow(dead_code)] // only its schema is used; `streamgate::envelope::Problem` is what is sent
pub(super) struct ProblemSchema {
    /// A short name of the kind of problem.
    #[schema(example = "Not Found")]
    title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What happened and what to do next.
    #[schema(
        example = "`orders` is none of the configured streams: weather-requests, weather-responses, {weather-requests}:dlq"
    )]
    detail: String,
}

/// Problems of everything behind the admin token and in Redis.
pub(super) struct Guarded;

impl IntoResponses for Guarded {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = problems(&[
            (401, "The admin token is missing or wrong.", NO_TOKEN),
            (403, "The process has no ADMIN_TOKEN, so these operations are off.", OFF),
            (
                503,
                "Redis does not answer; a change may have been made all the same.",
                "the dead letters cannot be reached now: Redis cannot be reached",
            ),
        ]);
        if let Some(RefOr::T(response)) = responses.get_mut("401") {
            let challenge = HeaderBuilder::new()
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .description(Some("How to be let in"))
                .example(Some(json!("Bearer")))
                .build();
            response.headers.insert("www-authenticate".to_owned(), challenge.into());
        }
        responses
    }
}

/// Problems of an operation on one dead letter.
pub(super) struct OfOne;

impl IntoResponses for OfOne {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (400, "The id is none.", "id must be an entry id such as 1763683200000-0"),
            (
                404,
                "There is no such dead letter: replayed, discarded or trimmed.",
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
            (400, "The body is not JSON.", "the body is not JSON: expected value at line 1 column 1"),
            (413, "The body is larger than 64 KiB.", "the body is larger than 65536 bytes"),
            (
                415,
                "The body is not announced as JSON, or has a content coding.",
                "send the body with content-type application/json",
            ),
            (422, "The JSON breaks a rule.", "name the dead letters by `ids` or by a `filter`"),
        ])
    }
}

/// Adds the scheme that the operations behind the token name.
pub(super) struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The ADMIN_TOKEN of the process"))
            .build();
        api.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// One response for each status, description and example of a detail.
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
