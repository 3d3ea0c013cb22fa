//! Describes API keys: how to send one, and the headers about its rate limit.

use serde_json::json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, Header, HeaderBuilder, ObjectBuilder, RefOr, Type};

/// Describes the two headers in which a caller may send a key.
pub(super) fn describe(components: &mut Components) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key of the gateway (API_KEYS_FILE)"))
        .build();
    let header = ApiKeyValue::with_description(
        "X-API-Key",
        "The same API key, if the header authorization is used for something else",
    );
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("apiKey", SecurityScheme::ApiKey(ApiKey::Header(header)));
}

/// Describes that `operation` needs a key, and the headers of its answers.
pub(super) fn guard(operation: &mut Operation) {
    let none: [&str; 0] = [];
    operation.security =
        Some(vec![SecurityRequirement::new("bearer", none), SecurityRequirement::new("apiKey", none)]);
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let headers = match status.as_str() {
            // The router refuses a wrong method before the key is checked.
            "405" => continue,
            "401" => vec![("www-authenticate", "How to send a key (RFC 6750)", "Bearer")],
            _ => vec![
                (
                    "ratelimit-policy",
                    "The rate limit of the API key, if it has one: q requests in w seconds",
                    r#""default";q=100;w=2"#,
                ),
                (
                    "ratelimit",
                    "The rest of the rate limit: r requests now, more in t seconds (draft-ietf-httpapi-ratelimit-headers-10)",
                    r#""default";r=99;t=1"#,
                ),
            ],
        };
        for (name, description, example) in headers {
            response.headers.insert(name.to_owned(), text_header(description, example).into());
        }
    }
}

fn text_header(description: &str, example: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some(description))
        .example(Some(json!(example)))
        .build()
}
