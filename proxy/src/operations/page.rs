use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use service::http::ProblemAnswer;
use service::http::swagger::{DOCUMENT_PATH, PAGE_PATH, SwaggerPage, to_page};

/// The Swagger UI and the description that it shows.
pub(super) fn routes(page: SwaggerPage) -> Router {
    Router::new()
        .route(DOCUMENT_PATH, get(async |State(page): State<SwaggerPage>| page.document()))
        .route(PAGE_PATH, get(async |State(page): State<SwaggerPage>| page.file("").ok_or_else(absent)))
        .route("/swagger/{*file}", get(file))
        .route("/swagger", get(to_page))
        .route("/", get(to_page))
        .with_state(page)
}

async fn file(
    State(page): State<SwaggerPage>,
    file: Result<Path<String>, PathRejection>,
) -> Result<Response, ProblemAnswer> {
    // A path that is not UTF-8 names no file.
    file.ok().and_then(|Path(file)| page.file(&file)).ok_or_else(absent)
}

fn absent() -> ProblemAnswer {
    ProblemAnswer::new(404, "the Swagger UI has no such file")
}
