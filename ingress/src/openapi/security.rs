//! API keys in the description: how to present one, and what answers say about its limit.

use serde_json::json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, Header, HeaderBuilder, ObjectBuilder, RefOr, Type};

/// Describes the two headers that may carry a key.
pub(super) fn describe(components: &mut Components) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key of the gateway (API_KEYS_FILE)"))
        .build();
    let header = ApiKeyValue::with_description("X-API-Key", "The same, where authorization is taken");
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("apiKey", SecurityScheme::ApiKey(ApiKey::Header(header)));
}

/// Says that `operation` needs a key, and announces the headers that come with that.
pub(super) fn guard(operation: &mut Operation) {
    let none: [&str; 0] = [];
    operation.security =
        Some(vec![SecurityRequirement::new("bearer", none), SecurityRequirement::new("apiKey", none)]);
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let headers = match status.as_str() {
            // Refused by the router, which is asked before the key is.
            "405" => continue,
            "401" => vec![("www-authenticate", "How to present a key (RFC 6750)", "Bearer")],
            _ => vec![
                (
                    "ratelimit-policy",
                    "What the API key may use, if it has a limit: q requests in w seconds",
                    r#""default";q=100;w=2"#,
                ),
                (
                    "ratelimit",
                    "What is left of it: r requests now, more in t seconds (draft-ietf-httpapi-ratelimit-headers-10)",
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
