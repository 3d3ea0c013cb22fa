//! What callers send: bodies, parameters, ids. What is no JSON or has the wrong type of value in the query is 400, what
//! breaks a rule is 422.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use service::http::body::{self, BodyError, BodyLimits};
use service::http::is_encoded;
use streamgate::envelope::{FieldError, Place};

use super::failure::Failure;

/// The largest body is a batch of 100 events of 10 KiB.
pub(super) const BODY: BodyLimits = BodyLimits { size: 1 << 20, time: Duration::from_secs(10) };

/// Rules for the values of a request.
pub(super) trait Check {
    /// Notes each rule that a value breaks.
    fn check(&self, rules: &mut Rules);
}

/// The rules that were broken.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<FieldError>);

impl Rules {
    /// Notes that `field` breaks `rule`, unless it `holds`.
    pub(super) fn that(&mut self, holds: bool, field: &str, rule: &str) {
        if !holds {
            self.0.push(FieldError { place: Place::Field(field.to_owned()), detail: rule.to_owned() });
        }
    }

    /// A text of 1 to `longest` characters, none of them NUL, which PostgreSQL cannot store.
    pub(super) fn text(&mut self, field: &str, text: &str, longest: usize) {
        let holds = (1..=longest).contains(&text.chars().count()) && !text.contains('\0');
        self.that(holds, field, &format!("must have 1 to {longest} characters, none of them NUL"));
    }

    /// The name or id of somebody or something: 1 to 100 visible ASCII characters.
    pub(super) fn name(&mut self, field: &str, text: &str) {
        let holds = (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        self.that(holds, field, "must have 1 to 100 visible ASCII characters without spaces");
    }

    fn checked<T: Check>(value: T) -> Result<T, Failure> {
        let mut rules = Self::default();
        value.check(&mut rules);
        if rules.0.is_empty() { Ok(value) } else { Err(Failure::invalid(rules.0)) }
    }
}

/// The JSON body of a request, which keeps all rules.
pub(super) struct Input<T>(pub(super) T);

impl<T: DeserializeOwned + Check, S: Sync> FromRequest<S> for Input<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        if !body::is_json(request.headers()) || is_encoded(request.headers()) {
            return Err(Failure::new(
                415,
                "send the body as application/json in UTF-8, without a content-encoding",
            ));
        }
        let json = body::read(request.into_body(), BODY).await.map_err(|error| {
            let status = match error {
                BodyError::TooLarge { .. } => 413,
                BodyError::TimedOut { .. } => 408,
                BodyError::Broken => 400,
            };
            Failure::new(status, error.to_string())
        })?;
        let value =
            serde_json::from_slice(body::without_bom(&json)).map_err(|error| match error.classify() {
                Category::Data => Failure::new(422, format!("the JSON does not match the schema: {error}")),
                _ => Failure::new(400, format!("the body is not JSON: {error}")),
            })?;
        Ok(Self(Rules::checked(value)?))
    }
}

/// The parameters in the query, which keep all rules.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned + Check + Send, S: Sync + Send> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(Rules::checked(value)?)),
            Err(rejection) => Err(Failure::new(400, rejection.body_text())),
        }
    }
}

/// The id in the path, a UUID in its usual form.
pub(super) struct Id(pub(super) String);

impl<S: Sync + Send> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Name(text) = Name::from_request_parts(parts, state).await?;
        match uuid::Uuid::parse_str(&text) {
            Ok(id) => Ok(Self(id.to_string())),
            Err(_) => Err(Failure::not_found("there is nothing with this id: an id is a UUID")),
        }
    }
}

/// The name in the path.
pub(super) struct Name(pub(super) String);

impl<S: Sync + Send> FromRequestParts<S> for Name {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(_) => Err(Failure::new(400, "the name in the path must be text in UTF-8")),
        }
    }
}
