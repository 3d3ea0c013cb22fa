//! Users.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::audit::EventView;
use super::failure::Failure;
use super::input::{Check, Id, Input, Params, Rules};
use crate::model::{Changes, Status, User, UserPatch};
use crate::store::{EventFilter, Page};

/// A user to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "ada", "email": "ada@example.org"}))]
pub(super) struct NewUser {
    /// Unique.
    #[schema(pattern = "^[A-Za-z0-9._-]{3,32}$")]
    username: String,
    /// Unique, upper and lower case count as equal.
    #[schema(
        max_length = 254,
        pattern = "^[A-Za-z0-9._+-]{1,64}@([A-Za-z0-9-]{1,63}[.]){1,3}[A-Za-z]{2,32}$"
    )]
    email: String,
    /// The default is `active`.
    #[serde(default)]
    status: Option<Status>,
}

/// Fields of a user to be changed; the others stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"status": "inactive"}))]
pub(super) struct UserChange {
    /// Unique.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9._-]{3,32}$")]
    username: Option<String>,
    /// Unique, upper and lower case count as equal.
    #[serde(default)]
    #[schema(
        max_length = 254,
        pattern = "^[A-Za-z0-9._+-]{1,64}@([A-Za-z0-9-]{1,63}[.]){1,3}[A-Za-z]{2,32}$"
    )]
    email: Option<String>,
    /// The new status.
    #[serde(default)]
    status: Option<Status>,
}

fn check(rules: &mut Rules, username: Option<&str>, email: Option<&str>) {
    let rule = "must have 3 to 32 characters of A-Z a-z 0-9 . _ -";
    rules.that(username.is_none_or(is_username), "username", rule);
    rules.that(email.is_none_or(is_email), "email", "must be an address such as ada@example.org");
}

fn is_username(text: &str) -> bool {
    (3..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// As the pattern of the schema.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let labels: Vec<&str> = domain.split('.').collect();
    let Some((top, labels)) = labels.split_last() else { return false };
    text.len() <= 254
        && (1..=64).contains(&local.len())
        && local.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
        && (1..=3).contains(&labels.len())
        && labels.iter().all(|label| {
            (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
        && (2..=32).contains(&top.len())
        && top.bytes().all(|b| b.is_ascii_alphabetic())
}

impl Check for NewUser {
    fn check(&self, rules: &mut Rules) {
        check(rules, Some(&self.username), Some(&self.email));
    }
}

impl Check for UserChange {
    fn check(&self, rules: &mut Rules) {
        check(rules, self.username.as_deref(), self.email.as_deref());
    }
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "019ab8f4-7c1d-7e52-9f4e-3a5d1c2b4e6f", "username": "ada", "email": "ada@example.org",
    "status": "active", "createdAt": "2026-11-21T10:00:00Z", "updatedAt": "2026-11-21T10:00:00Z",
}))]
pub(super) struct UserView {
    id: String,
    username: String,
    email: String,
    status: Status,
    created_at: String,
    updated_at: String,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let (created_at, updated_at) = (user.created(), user.updated());
        Self {
            id: user.id,
            username: user.username,
            email: user.email,
            status: user.status,
            created_at,
            updated_at,
        }
    }
}

/// A user that was created.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreatedUser {
    user: UserView,
    /// The id of the event `user.created`.
    #[schema(example = "019ab8f4-7c1e-7001-8d2a-0c6f6a1b2c3d")]
    message_id: String,
}

/// A page of users.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserPage {
    users: Vec<UserView>,
    /// How many are on this page.
    #[schema(example = 1)]
    count: usize,
    /// The `cursor` of the next page; null on the last one.
    #[schema(example = json!(null))]
    next: Option<String>,
}

/// One user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneUser {
    user: UserView,
}

/// A user after a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangedUser {
    user: UserView,
    /// What is different, by field.
    #[schema(example = json!({"status": {"from": "active", "to": "inactive"}}))]
    changes: Changes,
    /// The id of the event `user.updated`; null if nothing is different.
    #[schema(example = "019ab8f4-7c1e-7001-8d2a-0c6f6a1b2c3d")]
    message_id: Option<String>,
}

/// An event that was published.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Published {
    /// The id of the event.
    #[schema(example = "019ab8f4-7c1e-7001-8d2a-0c6f6a1b2c3d")]
    pub(super) message_id: String,
}

/// The history of a user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct History {
    /// The user; null after it was deleted.
    user: Option<UserView>,
    /// The events, the newest first.
    events: Vec<EventView>,
    /// How many there are.
    #[schema(example = 1)]
    total: i64,
}

/// Which page of users.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Cursor {
    /// The most users on the page.
    #[serde(default = "fifty")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: u32,
    /// `next` of the page before.
    #[param(format = "uuid")]
    cursor: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Offset {
    /// The most rows on the page.
    #[serde(default = "fifty")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: u32,
    /// Rows before the page.
    #[serde(default)]
    #[param(minimum = 0, maximum = 1_000_000_000, default = 0)]
    offset: u32,
}

pub(super) fn fifty() -> u32 {
    50
}

/// Checks the bounds of a page.
pub(super) fn check_page(rules: &mut Rules, limit: u32, offset: u32) {
    rules.that((1..=200).contains(&limit), "limit", "must be from 1 to 200");
    rules.that(offset <= 1_000_000_000, "offset", "must be at most 1000000000");
}

impl Check for Cursor {
    fn check(&self, rules: &mut Rules) {
        check_page(rules, self.limit, 0);
        let holds = self.cursor.as_deref().is_none_or(|id| uuid::Uuid::parse_str(id).is_ok());
        rules.that(holds, "cursor", "must be `next` of another page, a UUID");
    }
}

impl Check for Offset {
    fn check(&self, rules: &mut Rules) {
        check_page(rules, self.limit, self.offset);
    }
}

/// Creates a user
///
/// The user and the event `user.created` are stored in one transaction; the event follows on its stream.
#[utoipa::path(post, path = "/api/users", tag = "users", operation_id = "createUser", request_body = NewUser,
    responses((status = 201, description = "The user is stored, and its event will be published.", body = CreatedUser)))]
pub(super) async fn create(
    State(app): State<App>,
    Input(new): Input<NewUser>,
) -> Result<(StatusCode, Json<CreatedUser>), Failure> {
    let user = User::new(new.username, &new.email, new.status.unwrap_or_default());
    let message_id = app.store.create_user(&user).await?;
    app.relay.wake();
    Ok((StatusCode::CREATED, Json(CreatedUser { user: user.into(), message_id })))
}

/// Lists users in the order of their creation
#[utoipa::path(get, path = "/api/users", tag = "users", operation_id = "listUsers", params(Cursor),
    responses((status = 200, description = "A page of users.", body = UserPage)))]
pub(super) async fn list(
    State(app): State<App>,
    Params(page): Params<Cursor>,
) -> Result<Json<UserPage>, Failure> {
    let cursor = page.cursor.map(|id| uuid::Uuid::parse_str(&id).unwrap_or_default().to_string());
    let mut users = app.store.users(cursor.as_deref(), i64::from(page.limit) + 1).await?;
    let more = users.len() > page.limit as usize;
    users.truncate(page.limit as usize);
    let next = users.last().filter(|_| more).map(|user| user.id.clone());
    Ok(Json(UserPage { count: users.len(), users: users.into_iter().map(UserView::from).collect(), next }))
}

/// Shows a user
#[utoipa::path(get, path = "/api/users/{id}", tag = "users", operation_id = "getUser",
    params(("id" = String, Path, description = "The id of the user", format = "uuid")),
    responses((status = 200, description = "The user.", body = OneUser)))]
pub(super) async fn get(State(app): State<App>, Id(id): Id) -> Result<Json<OneUser>, Failure> {
    let user = app.store.user(&id).await?.ok_or_else(unknown)?;
    Ok(Json(OneUser { user: user.into() }))
}

/// Changes a user
///
/// If nothing is different afterwards, nothing is published.
#[utoipa::path(put, path = "/api/users/{id}", tag = "users", operation_id = "updateUser", request_body = UserChange,
    params(("id" = String, Path, description = "The id of the user", format = "uuid")),
    responses((status = 200, description = "The user after the change.", body = ChangedUser)))]
pub(super) async fn update(
    State(app): State<App>,
    Id(id): Id,
    Input(change): Input<UserChange>,
) -> Result<Json<ChangedUser>, Failure> {
    let patch = UserPatch { username: change.username, email: change.email, status: change.status };
    let updated = app.store.update_user(&id, &patch).await?.ok_or_else(unknown)?;
    app.relay.wake();
    let (user, changes, message_id) = (updated.user.into(), updated.changes, updated.message_id);
    Ok(Json(ChangedUser { user, changes, message_id }))
}

/// Deletes a user
///
/// The history of the user stays.
#[utoipa::path(delete, path = "/api/users/{id}", tag = "users", operation_id = "deleteUser",
    params(("id" = String, Path, description = "The id of the user", format = "uuid")),
    responses((status = 200, description = "The user is deleted.", body = Published)))]
pub(super) async fn delete(State(app): State<App>, Id(id): Id) -> Result<Json<Published>, Failure> {
    let message_id = app.store.delete_user(&id).await?.ok_or_else(unknown)?;
    app.relay.wake();
    Ok(Json(Published { message_id }))
}

/// Lists the events about a user, also of a deleted one
#[utoipa::path(get, path = "/api/users/{id}/events", tag = "users", operation_id = "userEvents",
    params(("id" = String, Path, description = "The id of the user", format = "uuid"), Offset),
    responses((status = 200, description = "The history of the user.", body = History)))]
pub(super) async fn history(
    State(app): State<App>,
    Id(id): Id,
    Params(page): Params<Offset>,
) -> Result<Json<History>, Failure> {
    let user = app.store.user(&id).await?;
    let filter = EventFilter { user_id: Some(id), ..EventFilter::default() };
    let page = Page { limit: page.limit.into(), offset: page.offset.into() };
    let (events, total) = app.store.events(&filter, page).await?;
    if user.is_none() && total == 0 {
        return Err(unknown());
    }
    let events = events.into_iter().map(EventView::from).collect();
    Ok(Json(History { user: user.map(UserView::from), events, total }))
}

fn unknown() -> Failure {
    Failure::not_found("there is no user with this id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_name_and_a_domain() {
        for good in ["a@b.org", "ada.l+x@mail.example.co.uk", "A_1@x-y.de"] {
            assert!(is_email(good), "{good}");
        }
        for bad in
            ["", "a", "a@b", "@b.org", "a@.org", "a@b.o", "a b@c.org", "a@b@c.org", "a@b.org\n", "ü@b.org"]
        {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
