//! The description of the API, and the Swagger UI that shows it.
//!
//! Paths and schemas are in `api`, those of a routes file in `routes`. The failures and the headers of the answers are added here, from one
//! table. A test in `tests/it` checks that each described path has a route.

mod api;
mod bundled;
pub mod routes;
mod security;

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{Redirect, Response};
use serde_json::{Value, json};
use streamgate::envelope::PROBLEM_JSON;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response as Described, ResponseBuilder, Type,
};

use self::api::Api;
use crate::gateway::Gateway;
use crate::problem::Failure;

/// An invented correlation id for the examples below.
const EXAMPLE_ID: &str = "019ab8f4-7c1d-7e52-9f4e-3a5d1c2b4e6f";

/// A failure: the status, when it is sent, and an example of the detail.
type Failing = (u16, &'static str, &'static str);

const SLOW_BODY: Failing = (408, "The body took too long to arrive.", "the body did not arrive within 10 s");
const DEFECT: Failing =
    (500, "The gateway has a defect.", "the gateway failed; its log shows the cause under this request id");
const BUSY: Failing = (
    503,
    "The gateway cannot take the request now: Redis is unavailable, the queue is too long for an answer in time, too many callers wait, no worker is there, or the gateway is shutting down.",
    "too many requests are waiting: nothing was done; try again later",
);
const LATE: Failing = (
    504,
    "No reply came before the deadline. The work may have been done.",
    "the deadline passed: the work may have been done",
);
const NO_KEY: Failing = (
    401,
    "The API key is missing or not valid.",
    "an API key is required: send it as Authorization: Bearer KEY or X-API-Key: KEY",
);

/// The failures of a forecast request.
const FORECAST_FAILURES: [Failing; 11] = [
    (400, "The body is not JSON.", "the body is not JSON: expected value at line 1 column 1"),
    (404, "The weather provider does not know the city.", "no place is called Atlantis"),
    (
        405,
        "The method is not POST.",
        "this path does not accept this method; the allow header lists the methods it accepts",
    ),
    SLOW_BODY,
    (413, "The body is larger than BODY_LIMIT.", "the body is larger than the 65536 bytes accepted here"),
    (
        415,
        "The header content-type is not application/json, or the body has a content-encoding.",
        "send the body as application/json in UTF-8, with the header content-type: application/json",
    ),
    (
        422,
        "The JSON does not match the schema, or a value breaks a rule.",
        "the request breaks the rules listed in errors",
    ),
    DEFECT,
    (502, "The worker failed.", "the weather provider could not be reached"),
    BUSY,
    LATE,
];

/// The additional failures of a gateway with API keys.
const KEY_FAILURES: [Failing; 2] = [
    NO_KEY,
    (
        429,
        "The API key is over its rate limit; nothing was done.",
        "this API key is over its rate limit: nothing was done; try again later",
    ),
];

/// Answers at `/api-docs/openapi.json`.
pub async fn document(State(gateway): State<Arc<Gateway>>) -> Response {
    gateway.serving.current().page.document()
}

/// Answers at `/openapi.json`, with a routes file: a redirect to the description.
pub async fn to_document() -> Redirect {
    Redirect::temporary("api-docs/openapi.json")
}

/// Answers with the page of the Swagger UI.
///
/// # Errors
/// The page is missing, which does not happen.
pub async fn swagger_page(State(gateway): State<Arc<Gateway>>) -> Result<Response, Failure> {
    gateway.serving.current().page.file("").ok_or_else(Failure::not_found)
}

/// Answers with a file of the Swagger UI.
///
/// # Errors
/// There is no such file.
pub async fn swagger_file(
    State(gateway): State<Arc<Gateway>>,
    file: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    // A path that is not UTF-8 names no file.
    let page = &gateway.serving.current().page;
    let file = file.ok().and_then(|Path(file)| page.file(&file));
    file.ok_or_else(Failure::not_found)
}

/// The description of the API. With `keys`, the forecast needs an API key.
pub fn description(keys: bool) -> utoipa::openapi::OpenApi {
    let mut api = Api::openapi();
    let key_failures = if keys { &KEY_FAILURES[..] } else { &[] };
    if keys {
        security::describe(api.components.get_or_insert_default());
    }
    let operations = api.paths.paths.values_mut().flat_map(|item| [&mut item.get, &mut item.post]).flatten();
    for operation in operations {
        if operation.operation_id.as_deref() == Some("forecast") {
            for (status, when, detail) in FORECAST_FAILURES.iter().chain(key_failures) {
                let problem = problem_response(*status, when, detail);
                operation.responses.responses.insert(status.to_string(), problem.into());
            }
            if keys {
                security::guard(operation);
            }
        }
        announce_headers(operation);
    }
    api
}

/// Describes the header `x-request-id` for every answer, and `retry-after` for 503 and 429.
fn announce_headers(operation: &mut Operation) {
    let header = |description: &str, kind: Type, example: Value| {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(kind)))
            .description(Some(description))
            .example(Some(example))
            .build()
    };
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let id = header("The correlation id of this request", Type::String, json!(EXAMPLE_ID));
        response.headers.insert("x-request-id".to_owned(), id.into());
        if status == "503" || status == "429" {
            let wait = header("Seconds to wait before the next attempt, at least 1", Type::Integer, json!(1));
            response.headers.insert("retry-after".to_owned(), wait.into());
        }
    }
}

fn problem_response(status: u16, when: &str, detail: &str) -> Described {
    let problem = streamgate::envelope::Problem::new(status, detail);
    let mut example = json!({
        "title": problem.title, "status": status, "detail": detail, "requestId": EXAMPLE_ID,
    });
    if status == 422 {
        example["errors"] = json!([{"field": "city", "detail": "must not be empty"}]);
    }
    let content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).example(Some(example)).build();
    ResponseBuilder::new().description(when).content(PROBLEM_JSON, content).build()
}

#[cfg(test)]
mod tests {
    use weather::WeatherRequest;

    use super::*;

    fn described(keys: bool) -> Value {
        serde_json::to_value(description(keys)).expect("JSON")
    }

    #[test]
    fn every_status_of_the_forecast_has_a_schema_and_headers() {
        let api = described(true);

        let responses = &api["paths"]["/WeatherForecast/city"]["post"]["responses"];

        assert!(responses["200"]["content"]["application/json"]["schema"].is_object());
        for (status, ..) in FORECAST_FAILURES.into_iter().chain(KEY_FAILURES) {
            let response = &responses[status.to_string()];
            let schema = &response["content"][PROBLEM_JSON]["schema"];
            assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{status}");
            assert!(response["headers"]["x-request-id"].is_object(), "{status}");
            let retry_after = response["headers"].get("retry-after").is_some();
            assert_eq!(retry_after, matches!(status, 429 | 503), "{status}");
        }
    }

    #[test]
    fn every_failure_has_an_example_with_its_status() {
        for (path, methods) in described(true)["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                assert!(!operation["summary"].as_str().expect("a summary").contains('`'), "{method} {path}");
                for (status, response) in operation["responses"].as_object().expect("responses") {
                    let place = format!("{method} {path} {status}");
                    let example = &response["content"][PROBLEM_JSON]["example"];
                    if let Some(problem) = example.as_object() {
                        assert_eq!(problem["status"].to_string(), *status, "{place}");
                        assert_ne!(problem["title"], "Error", "{place} has no title");
                    } else if status != "200" {
                        let report = &response["content"]["application/json"]["example"];
                        assert_eq!((&**status, &report["status"]), ("503", &json!("degraded")), "{place}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_example_request_is_accepted() {
        let api = described(false);
        let body = &api["paths"]["/WeatherForecast/city"]["post"]["requestBody"];

        let example = body["content"]["application/json"]["example"].to_string();

        let request = WeatherRequest::parse(example.as_bytes()).expect("accepted");
        assert_eq!(request.city, "New York");
    }
}
