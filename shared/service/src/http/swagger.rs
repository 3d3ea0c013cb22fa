//! The page that describes an API and tries it out: Swagger UI, from memory.
//!
//! Behind the cargo feature `swagger`. Every location in it is relative. A proxy in front of the
//! process may strip a prefix from the path or end TLS, and the process knows neither; the browser
//! knows both.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use utoipa::openapi::{OpenApi, Server};
use utoipa_swagger_ui::Config;

/// The path of the description.
pub const DOCUMENT_PATH: &str = "/api-docs/openapi.json";
/// The path of the page. Its scripts are beside it, hence the slash.
pub const PAGE_PATH: &str = "/swagger/";

/// The page as `/` and `/swagger` see it: both are files of the same folder.
const PAGE_FROM_ROOT: &str = "swagger/";
/// The description as the page sees it.
const DOCUMENT_FROM_PAGE: &str = "../api-docs/openapi.json";
/// The root of the API as the description sees it. A relative server URL is resolved against the URL of
/// the description (OpenAPI 3.1.1, 4.6).
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

    /// Operations open ready to be tried, and an answer shows how long it took.
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

    /// The file called `name` below [`PAGE_PATH`], the page itself for an empty name; `None` if there
    /// is no such file.
    pub fn file(&self, name: &str) -> Option<Response> {
        // It fails only if its own script is not UTF-8, and a test reads that.
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
