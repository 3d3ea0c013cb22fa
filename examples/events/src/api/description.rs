//! The OpenAPI description: what all operations share. The failures of an operation follow from what it is like, in one
//! table, each with a real example.

use serde_json::{Value, json};
use streamgate::envelope::{PROBLEM_JSON, Problem};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, Ref, Response, ResponseBuilder, Type,
};

/// An error (RFC 9457, `application/problem+json`).
#[derive(utoipa::ToSchema)]
#[schema(as = Problem)]
#[allow(dead_code, reason = "only its schema is used; `streamgate::envelope::Problem` is what is sent")]
pub(super) struct ProblemSchema {
    /// A short name of the kind of problem.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, and what the caller can do.
    detail: String,
    /// The values that break rules.
    errors: Option<Vec<FieldErrorSchema>>,
}

/// A value that breaks a rule.
#[derive(utoipa::ToSchema)]
#[schema(as = FieldError)]
#[allow(dead_code, reason = "only its schema is used")]
struct FieldErrorSchema {
    /// The name of the value.
    field: String,
    /// The rule.
    detail: String,
}

/// Who must show a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tokens {
    /// Nobody.
    Nobody,
    /// Callers that change something.
    Writers,
    /// All callers.
    All,
}

/// Adds the failures of each operation and its lock.
pub(super) fn complete(api: &mut OpenApi, tokens: Tokens) {
    if tokens != Tokens::Nobody {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("The token of POST /api/auth/login"))
            .build();
        api.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
    for (path, item) in &mut api.paths.paths {
        let all = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in all {
            if let Some(operation) = operation {
                describe(path, method, operation, tokens);
            }
        }
    }
}

fn describe(path: &str, method: &str, operation: &mut Operation, tokens: Tokens) {
    let id = operation.operation_id.clone().unwrap_or_default();
    let has_query =
        operation.parameters.iter().flatten().any(|parameter| {
            serde_json::to_value(parameter).is_ok_and(|parameter| parameter["in"] == "query")
        });
    let (has_body, has_place, is_api) =
        (operation.request_body.is_some(), path.contains('{'), path.starts_with("/api/"));
    let needs_token = is_api
        && id != "login"
        && match tokens {
            Tokens::Nobody => false,
            Tokens::Writers => method != "get",
            Tokens::All => true,
        };
    let rows: [(bool, u16, &str, &str); 15] = [
        (has_body, 400, "The body is not JSON.", "the body is not JSON: expected value at line 1 column 1"),
        (
            !has_body && (has_query || has_place),
            400,
            "A parameter is not text in UTF-8, or has the wrong type of value.",
            "Failed to deserialize query string: limit: invalid digit found in string",
        ),
        (
            needs_token,
            401,
            "The token is missing, not valid or expired.",
            "a token is needed: log in at /api/auth/login, and send it as Authorization: Bearer TOKEN",
        ),
        (id == "login", 401, "The name or the password is wrong.", "the name or the password is wrong"),
        (
            needs_token && method != "get",
            403,
            "The role of the token may not do this.",
            "this needs the role writer, and ada is reader",
        ),
        (has_place, 404, "There is nothing of this id or name.", "there is no user with this id"),
        (has_body, 408, "The body took too long to arrive.", "the body did not arrive within 10 s"),
        (
            matches!(id.as_str(), "createUser" | "updateUser"),
            409,
            "Another user has this name or address.",
            "another user has this username: choose another",
        ),
        (
            matches!(id.as_str(), "publishCustom" | "publishBatch"),
            409,
            "There would be too many custom streams.",
            "there are 32 custom streams, which is the most: use one of them",
        ),
        (id == "completeTask", 409, "The task is completed already.", "the task is completed already"),
        (
            has_body,
            413,
            "The body is larger than 1 MiB.",
            "the body is larger than the 1048576 bytes accepted here",
        ),
        (
            has_body,
            415,
            "The body is not application/json, or has a content-encoding.",
            "send the body as application/json in UTF-8, without a content-encoding",
        ),
        (
            has_body || has_query,
            422,
            "A value breaks a rule.",
            "the request breaks the rules listed in errors",
        ),
        (id == "login", 429, "There were too many logins.", "too many logins: try again later"),
        (is_api, 500, "The service has a defect.", "the service has a defect; its log shows the cause"),
    ];
    for (_, status, when, detail) in rows.into_iter().filter(|(applies, ..)| *applies) {
        let problem = problem(status, when, detail);
        operation.responses.responses.insert(status.to_string(), problem.into());
    }
    if is_api || id == "ready" {
        let detail = match id.as_str() {
            "ready" => "not ready: database",
            _ => "the database cannot be used now: try again later",
        };
        let problem = problem(503, "The database or Redis cannot be used now.", detail);
        operation.responses.responses.insert("503".to_owned(), problem.into());
    }
    if needs_token {
        let none: [&str; 0] = [];
        operation.security = Some(vec![SecurityRequirement::new("bearer", none)]);
    }
}

fn problem(status: u16, when: &str, detail: &str) -> Response {
    let mut example = json!(Problem::new(status, detail));
    if status == 422 {
        example["errors"] =
            json!([{"field": "email", "detail": "must be an address such as ada@example.org"}]);
    }
    let content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).example(Some(example)).build();
    let response = ResponseBuilder::new().description(when).content(PROBLEM_JSON, content);
    let header = |text: &str, kind, example: Value| {
        let schema = ObjectBuilder::new().schema_type(kind);
        HeaderBuilder::new().schema(Some(schema)).description(Some(text)).example(Some(example)).build()
    };
    match status {
        401 => response.header("www-authenticate", header("The scheme", Type::String, json!("Bearer"))),
        429 | 503 => response.header("retry-after", header("Seconds to wait", Type::Integer, json!(1))),
        _ => response,
    }
    .build()
}
