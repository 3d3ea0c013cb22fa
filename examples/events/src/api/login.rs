//! Logging in, and the guard in front of the API.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::failure::Failure;
use super::input::{Check, Input, Rules};
use crate::auth::{LONGEST_PASSWORD, Role, issue, verify};

/// Who logs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "admin", "password": "the password of the account"}))]
pub(super) struct Login {
    /// The name of the account.
    #[schema(pattern = "^[!-~]{1,100}$")]
    username: String,
    /// Its password.
    #[schema(min_length = 1, max_length = 200)]
    password: String,
}

impl Check for Login {
    fn check(&self, rules: &mut Rules) {
        rules.name("username", &self.username);
        let length = self.password.chars().count();
        rules.that((1..=LONGEST_PASSWORD).contains(&length), "password", "must have 1 to 200 characters");
    }
}

/// A token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Token {
    /// Send it as `Authorization: Bearer TOKEN`.
    #[schema(example = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im1haW4ifQ.e30.c2lnbmF0dXJl")]
    token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until it ends.
    #[schema(example = 3_600)]
    expires_in: u64,
    /// What its bearer may do.
    role: Role,
}

/// Gives a token for a name and a password
///
/// A wrong name and a wrong password get the same answer, after the same time.
#[utoipa::path(post, path = "/api/auth/login", tag = "auth", operation_id = "login", request_body = Login,
    responses((status = 200, description = "A token.", body = Token)))]
pub(super) async fn login(
    State(app): State<App>,
    Input(login): Input<Login>,
) -> Result<Json<Token>, Failure> {
    let Some(auth) = &app.auth else {
        return Err(Failure::new(401, "EVENTS_AUTH is off: no token is needed, and none is given"));
    };
    auth.limit.take(&login.username).map_err(|wait| {
        tracing::warn!(username = login.username, "too many logins");
        Failure::too_many("too many logins: try again later", wait)
    })?;
    let account = app.store.account(&login.username).await?;
    let stored = account.as_ref().map(|account| account.password_hash.clone());
    let good = auth.passwords.check(login.password, stored).await;
    let good = good.map_err(|busy| Failure::new(503, busy.to_string()))?;
    match account.filter(|_| good) {
        None => {
            tracing::info!(username = login.username, "a login was refused");
            Err(Failure::new(401, "the name or the password is wrong"))
        }
        Some(account) => {
            let now = jiff::Timestamp::now().as_second();
            let token = issue(&auth.keys, &account.username, account.role, now, auth.lifetime);
            let expires_in = auth.lifetime.as_secs();
            Ok(Json(Token { token, token_type: "Bearer", expires_in, role: account.role }))
        }
    }
}

/// The role that a method needs.
pub(super) fn needed(method: &Method) -> Role {
    match *method {
        Method::GET | Method::HEAD => Role::Reader,
        Method::DELETE => Role::Admin,
        _ => Role::Writer,
    }
}

/// Lets requests through that have a token whose role may do this.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Result<Response, Failure> {
    let Some(auth) = &app.auth else { return Ok(next.run(request).await) };
    let needed = needed(request.method());
    if needed == Role::Reader && auth.reading_is_open {
        return Ok(next.run(request).await);
    }
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let Some(token) = token else {
        return Err(Failure::new(
            401,
            "a token is needed: log in at /api/auth/login, and send it as Authorization: Bearer TOKEN",
        ));
    };
    let claims = verify(&auth.keys, token, jiff::Timestamp::now().as_second());
    let claims = claims.map_err(|error| Failure::new(401, error.to_string()))?;
    if claims.role < needed {
        let (role, needed) = (claims.role.as_str(), needed.as_str());
        return Err(Failure::new(403, format!("this needs the role {needed}, and {} is {role}", claims.sub)));
    }
    Ok(next.run(request).await)
}
