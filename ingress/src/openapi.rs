//! The description of the API, and the Swagger UI to try it out.
//!
//! Paths and schemas are in `api`; what all answers have in common is added here, from one table.
//! A test in `tests/it` holds that each described path is routed.

mod api;
mod security;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use streamgate::envelope::PROBLEM_JSON;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response as Described, ResponseBuilder, Type,
};
use utoipa_swagger_ui::Config;

use self::api::Api;
use crate::problem::Failure;

/// Where the description is.
pub const DOCUMENT_PATH: &str = "/api-docs/openapi.json";
/// Where the Swagger UI is; its scripts are beside it, hence the slash.
pub const SWAGGER_PATH: &str = "/swagger/";

/// The id of the examples below: made up, in the right shape.
const EXAMPLE_ID: &str = "019ab8f4-7c1d-7e52-9f4e-3a5d1c2b4e6f";

/// Which failures the forecast answers with, when, and an example of what it then says.
const FORECAST_FAILURES: [(u16, &str, &str); 13] = [
    (400, "The body is not JSON.", "the body is not JSON: expected value at line 1 column 1"),
    (
        401,
        "The gateway asks for an API key, and there is none or no valid one.",
        "this gateway asks for an API key: send it as Authorization: Bearer KEY or X-API-Key: KEY",
    ),
    (404, "The weather provider does not know the city.", "no place is called Atlantis"),
    (
        405,
        "The method is not POST.",
        "this path does not accept this method; the allow header lists those it does",
    ),
    (408, "The body took too long to arrive.", "the body did not arrive within 10 s"),
    (413, "The body is larger than BODY_LIMIT.", "the body is larger than the 65536 bytes accepted here"),
    (
        415,
        "The body is not announced as application/json.",
        "send the body as application/json (in UTF-8) and say so in content-type",
    ),
    (
        422,
        "The JSON does not follow the schema or its values break their rules.",
        "the request breaks the rules listed in errors",
    ),
    (
        429,
        "The API key is over its rate limit (nothing was done), or the weather provider asks to slow down.",
        "this API key is over its rate limit: nothing was done; try again later",
    ),
    (500, "A defect in the gateway.", "the gateway failed; its log has this request id"),
    (502, "The work failed.", "the weather provider could not be reached"),
    (
        503,
        "The gateway cannot take the request now: the queue is unavailable or too long for an answer in time, too many callers wait, no worker is there, or it is shutting down.",
        "too many requests are waiting: nothing was done; try again later",
    ),
    (
        504,
        "Nobody replied in time. The work may have been done all the same.",
        "the deadline passed: the work may have been done all the same",
    ),
];

/// `/api-docs/openapi.json`.
pub async fn document() -> impl IntoResponse {
    static DOCUMENT: LazyLock<Bytes> =
        LazyLock::new(|| serde_json::to_vec(&description()).unwrap_or_default().into());
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone())
}

/// A redirect to the Swagger UI.
pub async fn to_swagger_page() -> Redirect {
    Redirect::temporary(SWAGGER_PATH)
}

/// The Swagger UI.
///
/// # Errors
/// It is not there, which does not happen.
pub async fn swagger_page() -> Result<Response, Failure> {
    swagger_ui("")
}

/// A file the Swagger UI asks for.
///
/// # Errors
/// There is no such file.
pub async fn swagger_file(file: Result<Path<String>, PathRejection>) -> Result<Response, Failure> {
    // A path that is not UTF-8 names no file.
    let Path(file) = file.map_err(|_| Failure::not_found())?;
    swagger_ui(&file)
}

/// From memory: nothing is loaded from anywhere else.
fn swagger_ui(file: &str) -> Result<Response, Failure> {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        Arc::new(Config::from(DOCUMENT_PATH).try_it_out_enabled(true).display_request_duration(true))
    });
    let file = utoipa_swagger_ui::serve(file, Arc::clone(&CONFIG))
        .map_err(|error| Failure::internal(error.to_string()))?
        .ok_or_else(Failure::not_found)?;
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let encoding = file.gzpipped.then_some([(CONTENT_ENCODING, "gzip")]);
    Ok(([(CONTENT_TYPE, file.content_type)], encoding, bytes).into_response())
}

/// The description of the API.
pub fn description() -> utoipa::openapi::OpenApi {
    let mut api = Api::openapi();
    security::describe(api.components.get_or_insert_default());
    let operations = api.paths.paths.values_mut().flat_map(|item| [&mut item.get, &mut item.post]).flatten();
    for operation in operations {
        if operation.operation_id.as_deref() == Some("forecast") {
            for (status, when, detail) in FORECAST_FAILURES {
                let problem = problem_response(status, when, detail);
                operation.responses.responses.insert(status.to_string(), problem.into());
            }
            security::guard(operation);
        }
        announce_headers(operation);
    }
    api
}

/// Every answer carries `x-request-id`; 503 and 429 say when to come back.
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
            let wait = header("Seconds to wait before the next try, at least 1", Type::Integer, json!(1));
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
    use http_body_util::BodyExt;
    use weather::WeatherRequest;

    use super::*;

    #[test]
    fn each_status_is_described_by_schema_example_and_headers() {
        let api = serde_json::to_value(description()).expect("JSON");

        let responses = &api["paths"]["/WeatherForecast/city"]["post"]["responses"];

        assert!(responses["200"]["content"]["application/json"]["schema"].is_object());
        for (status, ..) in FORECAST_FAILURES {
            let response = &responses[status.to_string()];
            let content = &response["content"][PROBLEM_JSON];
            assert_eq!(content["schema"]["$ref"], "#/components/schemas/Problem", "{status}");
            assert_eq!(content["example"]["status"], status);
            assert!(content["example"]["title"] != "Error", "{status} has no title");
            assert!(response["headers"]["x-request-id"].is_object(), "{status}");
            let retry_after = response["headers"].get("retry-after").is_some();
            assert_eq!(retry_after, matches!(status, 429 | 503), "{status}");
        }
    }

    #[test]
    fn the_example_request_is_one_that_is_accepted() {
        let api = serde_json::to_value(description()).expect("JSON");
        let body = &api["paths"]["/WeatherForecast/city"]["post"]["requestBody"];

        let example = body["content"]["application/json"]["example"].to_string();

        let request = WeatherRequest::parse(example.as_bytes()).expect("accepted");
        assert_eq!(request.city, "New York");
    }

    #[tokio::test]
    async fn the_swagger_ui_loads_the_description() {
        let page = swagger_page().await.expect("found");
        let script = swagger_file(Ok(Path("swagger-initializer.js".to_owned()))).await.expect("found");

        assert!(page.headers()[CONTENT_TYPE].to_str().expect("text").starts_with("text/html"));
        let script = script.into_body().collect().await.expect("in memory").to_bytes();
        assert!(String::from_utf8_lossy(&script).contains(DOCUMENT_PATH));
        assert!(swagger_file(Ok(Path("no-such-file".to_owned()))).await.is_err());
    }
}
