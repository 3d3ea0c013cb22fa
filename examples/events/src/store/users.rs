//! Users, and the accounts that may use the API.

use super::StoreError;
use super::backend::{Row, Tx, values};
use crate::auth::{Account, Role};
use crate::model::{Status, User};

fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: row.text(0)?,
        username: row.text(1)?,
        email: row.text(2)?,
        status: Status::from_stored(&row.text(3)?),
        created_at: row.int(4)?,
        updated_at: row.int(5)?,
    })
}

pub(super) async fn insert(tx: &mut impl Tx, user: &User) -> Result<(), StoreError> {
    tx.run(
        "INSERT INTO users (uuid, username, email, status, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        values![
            &user.id,
            &user.username,
            &user.email,
            user.status.as_str(),
            user.created_at,
            user.updated_at
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn page(tx: &mut impl Tx, after: Option<&str>, limit: i64) -> Result<Vec<User>, StoreError> {
    let rows = tx
        .rows(
            "SELECT uuid, username, email, status, created_at, updated_at FROM users \
             WHERE uuid > $1 ORDER BY uuid LIMIT $2",
            values![after.unwrap_or_default(), limit],
        )
        .await?;
    rows.iter().map(user).collect()
}

pub(super) async fn get(tx: &mut impl Tx, id: &str) -> Result<Option<User>, StoreError> {
    let row = tx
        .row(
            "SELECT uuid, username, email, status, created_at, updated_at FROM users WHERE uuid = $1",
            values![id],
        )
        .await?;
    row.as_ref().map(user).transpose()
}

/// As [`get`], and no other transaction can change the user until this one ends.
pub(super) async fn lock(tx: &mut impl Tx, id: &str) -> Result<Option<User>, StoreError> {
    // SQLite has no SELECT … FOR UPDATE; an update that changes nothing locks the row in both databases.
    let row = tx
        .row(
            "UPDATE users SET updated_at = updated_at WHERE uuid = $1 \
             RETURNING uuid, username, email, status, created_at, updated_at",
            values![id],
        )
        .await?;
    row.as_ref().map(user).transpose()
}

pub(super) async fn update(tx: &mut impl Tx, user: &User) -> Result<(), StoreError> {
    tx.run(
        "UPDATE users SET username = $2, email = $3, status = $4, updated_at = $5 WHERE uuid = $1",
        values![&user.id, &user.username, &user.email, user.status.as_str(), user.updated_at],
    )
    .await?;
    Ok(())
}

pub(super) async fn delete(tx: &mut impl Tx, id: &str) -> Result<(), StoreError> {
    tx.run("DELETE FROM users WHERE uuid = $1", values![id]).await?;
    Ok(())
}

pub(super) async fn account(tx: &mut impl Tx, username: &str) -> Result<Option<Account>, StoreError> {
    let row = tx
        .row("SELECT username, role, password_hash FROM accounts WHERE username = $1", values![username])
        .await?;
    let Some(row) = row else { return Ok(None) };
    let role = Role::from_stored(&row.text(1)?);
    Ok(Some(Account { username: row.text(0)?, role, password_hash: row.text(2)? }))
}

pub(super) async fn put_account(tx: &mut impl Tx, account: &Account) -> Result<(), StoreError> {
    tx.run(
        "INSERT INTO accounts (username, role, password_hash) VALUES ($1, $2, $3) \
         ON CONFLICT (username) DO UPDATE SET role = $2, password_hash = $3",
        values![&account.username, account.role.as_str(), &account.password_hash],
    )
    .await?;
    Ok(())
}
