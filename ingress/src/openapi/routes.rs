//! Describes the routes of the routes file (OpenAPI 3.1).

use ::routes::{Auth, Check, Handler, Idempotency, Route, Routes};
use http::Method;
use serde_json::{Map, Value, json};
use service::http::swagger::SwaggerPage;
use streamgate::envelope::{PROBLEM_JSON, Problem};

use super::{BUSY, DEFECT, EXAMPLE_ID, Failing, LATE, NO_KEY, SLOW_BODY, bundled, description};

/// The methods that OpenAPI 3.1 has a place for.
const METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

/// The path of the weather in the description without a file.
const WEATHER: &str = "/WeatherForecast/city";

/// The description, and the page that shows it.
pub fn page(routes: &Routes, keys: bool) -> SwaggerPage {
    SwaggerPage::of_document(document(routes, keys))
}

/// The description of the gateway with these routes. With `keys`, it has a file of API keys.
pub fn document(routes: &Routes, keys: bool) -> Value {
    let mut document = serde_json::to_value(description(keys)).unwrap_or_default();
    let weather = document["paths"].as_object_mut().and_then(|paths| paths.remove(WEATHER));
    let weather = weather.map(|item| item["post"].clone()).unwrap_or_default();
    document["info"]["version"] = json!(routes.version);
    document["info"]["description"] =
        json!("HTTP requests, answered by workers behind Redis streams, as the routes file says.");
    document["tags"] = json!([
        {"name": "routes", "description": "The routes of the routes file"},
        {"name": "health", "description": "The state of the gateway"},
    ]);
    let mut schemas = Map::new();
    for route in &routes.routes {
        // Patterns that differ only in the names of their parameters are one path in OpenAPI.
        let twin = routes.routes.iter().find(|other| shape(other) == shape(route)).unwrap_or(route);
        let mut operation = match route.handler {
            Handler::Weather => of_weather(route, &weather),
            _ => operation(route, keys, &mut schemas),
        };
        let names = twin.path.params().zip(route.path.params());
        operation["parameters"] = parameters(route, names);
        let several = route.methods.len() > 1;
        for method in route.methods.iter().map(Method::as_str).filter(|method| METHODS.contains(method)) {
            let id =
                if several { format!("{}.{}", route.id, method.to_lowercase()) } else { route.id.clone() };
            operation["operationId"] = json!(id);
            let mut operation = operation.clone();
            if ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"].contains(&method)
                && let Some(operation) = operation.as_object_mut()
            {
                operation.remove("requestBody");
            }
            document["paths"][template(twin)][method.to_lowercase()] = operation;
        }
    }
    if let Some(all) = document["components"]["schemas"].as_object_mut() {
        all.extend(schemas);
    }
    document
}

/// The path as OpenAPI writes it: `{*rest}` is a parameter as any other.
fn template(route: &Route) -> String {
    route.path.as_str().replace("{*", "{")
}

/// The path with parameters that have no names.
fn shape(route: &Route) -> String {
    let segments = template(route);
    let segments = segments.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

fn of_weather(route: &Route, weather: &Value) -> Value {
    let mut operation = weather.clone();
    operation["tags"] = json!(["routes"]);
    if let Some(summary) = &route.summary {
        operation["summary"] = json!(summary);
    }
    operation
}

fn operation(route: &Route, keys: bool, schemas: &mut Map<String, Value>) -> Value {
    let guarded = keys && route.auth != Auth::None;
    let method = route.methods.first().map_or("", Method::as_str);
    let summary = route.summary.clone().unwrap_or_else(|| format!("{method} {}", route.path));
    let mut operation = json!({
        "tags": ["routes"],
        "summary": summary,
        "requestBody": body(route, schemas),
        "responses": responses(route, guarded, schemas),
    });
    if guarded {
        operation["security"] = json!([{"bearer": route.scopes}, {"apiKey": route.scopes}]);
    }
    operation
}

/// `names` are the name that a parameter has in the path of the description, and in the file.
fn parameters<'a>(route: &Route, names: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let text = json!({"type": "string"});
    let mut parameters: Vec<Value> = names
        .map(|(name, own)| {
            let mut parameter = json!({"name": name, "in": "path", "required": true, "schema": text});
            if route.path.as_str().contains(&format!("{{*{own}}}")) {
                parameter["description"] = json!("the rest of the path; it may contain slashes");
            }
            parameter
        })
        .collect();
    if route.durability.idempotency != Idempotency::Off {
        parameters.push(json!({
            "name": "idempotency-key", "in": "header",
            "required": route.durability.idempotency == Idempotency::Required,
            "description": "The same for each repetition of a request, new for each new one",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }));
    }
    let own = ["accept", "authorization", "content-type", "idempotency-key", "traceparent"];
    for name in route.request.headers.iter().map(|name| name.as_str()).filter(|name| !own.contains(name)) {
        parameters.push(json!({"name": name, "in": "header", "schema": text}));
    }
    parameters.push(json!({
        "name": "traceparent", "in": "header", "schema": text,
        "description": "W3C trace context; the spans of the gateway and of the worker belong to this trace",
    }));
    parameters.into()
}

fn body(route: &Route, schemas: &mut Map<String, Value>) -> Value {
    let types = match &route.request.content_types[..] {
        [] if route.request.schema.is_some() => vec!["application/json".to_owned()],
        [] => vec!["*/*".to_owned()],
        types => types.to_vec(),
    };
    let schema = route.request.schema.as_ref();
    let schema =
        schema.map(|schema| bundled::add(schemas, &format!("{}.request", route.id), schema.document()));
    let content: Map<String, Value> = types
        .into_iter()
        .map(|kind| (kind, schema.as_ref().map_or(json!({}), |schema| json!({"schema": schema}))))
        .collect();
    json!({
        "required": route.request.schema.is_some(),
        "description": format!("At most {} bytes", route.request.body_limit),
        "content": content,
    })
}

fn responses(route: &Route, guarded: bool, schemas: &mut Map<String, Value>) -> Value {
    let mut responses = Map::new();
    let reply = route.reply.schema.as_ref();
    let reply = reply.map(|schema| bundled::add(schemas, &format!("{}.reply", route.id), schema.document()));
    let content = match reply {
        Some(schema) => json!({"application/json": {"schema": schema}}),
        None => json!({"*/*": {}}),
    };
    let timing = header("string", "Milliseconds that the request spent in queue, work and reply");
    responses.insert(
        "2XX".to_owned(),
        json!({
            "description": "The answer of the service",
            "content": content,
            "headers": {"x-request-id": id_header(), "server-timing": timing},
        }),
    );
    for (status, when, detail) in failures(route, guarded) {
        responses.insert(status.to_string(), problem(status, when, detail, guarded));
    }
    responses.insert(
        "default".to_owned(),
        json!({"description": "Any other answer of the service, as it gave it", "content": {"*/*": {}}}),
    );
    responses.into()
}

/// The answers that the gateway itself may give: the status, when, and an example of the detail.
fn failures(route: &Route, guarded: bool) -> Vec<Failing> {
    let mut all = vec![
        (
            400,
            "The request, its path, a header or its body breaks a rule; errors lists the places in the body.",
            "the body breaks the rules listed in errors",
        ),
        SLOW_BODY,
        (413, "The body is too large.", "the body is larger than the 65536 bytes accepted here"),
        DEFECT,
        (
            502,
            "The work failed, or its answer is not what this route promises. The work may have been done.",
            "the service behind this path failed",
        ),
        BUSY,
        LATE,
    ];
    if guarded {
        all.extend([
            NO_KEY,
            (
                429,
                "The API key is over its rate limit, or too many of its requests wait; nothing was done.",
                "this API key is over its rate limit: nothing was done; try again later",
            ),
        ]);
        if !route.scopes.is_empty() {
            all.push((
                403,
                "The API key lacks a scope.",
                "this API key lacks the scope orders.write; ask the operator of this service for it",
            ));
        }
    }
    if !route.request.content_types.is_empty() || route.request.schema.is_some() {
        all.push((
            415,
            "The header content-type is none that this path accepts, or a body that is checked has a content-encoding.",
            "send the body with a content-type that this path accepts: application/json",
        ));
    }
    if route.reply.check == Check::Enforce {
        all.retain(|(status, ..)| *status != 502);
        all.push((
            502,
            "The work failed, or its answer breaks the schema of this route. The work may have been done.",
            "the answer of the service breaks the schema of this route: the work may have been done",
        ));
    }
    all
}

fn problem(status: u16, when: &str, detail: &str, guarded: bool) -> Value {
    let title = Problem::new(status, detail).title;
    let mut example = json!({"title": title, "status": status, "detail": detail, "requestId": EXAMPLE_ID});
    if status == 400 {
        example["errors"] = json!([{"pointer": "/quantity", "detail": "is less than the minimum of 1"}]);
    }
    let mut headers = json!({"x-request-id": id_header()});
    if matches!(status, 429 | 503) {
        headers["retry-after"] = header("integer", "Seconds to wait before the next attempt, at least 1");
    }
    if matches!(status, 401 | 403) {
        headers["www-authenticate"] =
            header("string", "How to send a key, or the scopes that it needs (RFC 6750)");
    } else if guarded {
        headers["ratelimit"] = header("string", "The rest of the rate limit of the API key, if it has one");
    }
    json!({
        "description": when,
        "headers": headers,
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    })
}

fn id_header() -> Value {
    header("string", "The correlation id of this request")
}

fn header(kind: &str, description: &str) -> Value {
    json!({"description": description, "schema": {"type": kind}})
}
