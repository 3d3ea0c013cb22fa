//! Swagger UI, served from memory: a page that describes an API and sends requests to it.
//!
//! It needs the cargo feature `swagger`. Every URL in the page is relative. A proxy in front of the
//! process may remove a prefix from the path, or terminate TLS. The process does not know that, but
//! the browser does.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use utoipa::openapi::{OpenApi, Server};
use utoipa_swagger_ui::Config;

/// The path of the description.
pub const DOCUMENT_PATH: &str = "/api-docs/openapi.json";
/// The path of the page. It ends with a slash because its scripts are below this path.
pub const PAGE_PATH: &str = "/swagger/";

/// The URL of the page relative to `/` and to `/swagger`.
const PAGE_FROM_ROOT: &str = "swagger/";
/// The URL of the description relative to the page.
const DOCUMENT_FROM_PAGE: &str = "../api-docs/openapi.json";
/// The root of the API relative to the description. A relative server URL is resolved against the URL
/// of the description (OpenAPI 3.1.1, 4.6).
const ROOT_FROM_DOCUMENT: &str = "../";

/// The description of an API, and the page that shows it. Clones share both.
#[derive(Clone)]
pub struct SwaggerPage {
    document: Bytes,
    config: Arc<Config<'static>>,
}

impl SwaggerPage {
    /// The page for `api`.
    pub fn of(mut api: OpenApi) -> Self {
        api.servers = Some(vec![Server::new(ROOT_FROM_DOCUMENT)]);
        Self {
            document: serde_json::to_vec(&api).unwrap_or_default().into(),
            config: Arc::new(Config::from(DOCUMENT_FROM_PAGE)),
        }
    }

    /// The page for an API that is described by a document of OpenAPI.
    pub fn of_document(mut api: serde_json::Value) -> Self {
        api["servers"] = serde_json::json!([{"url": ROOT_FROM_DOCUMENT}]);
        Self { document: api.to_string().into(), config: Arc::new(Config::from(DOCUMENT_FROM_PAGE)) }
    }

    /// The page lets the reader send requests at once, and shows how long an answer took.
    #[must_use]
    pub fn ready_to_try(mut self) -> Self {
        let config = Config::from(DOCUMENT_FROM_PAGE).try_it_out_enabled(true).display_request_duration(true);
        self.config = Arc::new(config);
        self
    }

    /// The answer at [`DOCUMENT_PATH`].
    pub fn document(&self) -> Response {
        ([(CONTENT_TYPE, "application/json")], self.document.clone()).into_response()
    }

    /// The file `name` below [`PAGE_PATH`]; an empty name is the page itself. `None` if there is no such
    /// file.
    pub fn file(&self, name: &str) -> Option<Response> {
        // This fails only if a built-in script is not UTF-8; a test reads that script.
        let file = utoipa_swagger_ui::serve(name, Arc::clone(&self.config)).ok()??;
        let bytes = match file.bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        let encoding = file.gzpipped.then_some([(CONTENT_ENCODING, "gzip")]);
        Some(([(CONTENT_TYPE, file.content_type)], encoding, bytes).into_response())
    }
}

/// The answer at `/` and `/swagger`: a redirect to the page.
pub async fn to_page() -> Redirect {
    Redirect::temporary(PAGE_FROM_ROOT)
}
