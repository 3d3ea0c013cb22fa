//! The edge to the two databases: transactions, values and rows. The SQL above it is the same for both.

use super::StoreError;

/// One of the two databases. [`Sql`](super::Sql) is the repository on top of it.
pub(super) trait Backend: Send + Sync + 'static {
    /// A transaction of it.
    type Tx: Tx;

    /// Takes or renews the lease of the relay: $1 is the holder, $2 the length in milliseconds. It changes one row if
    /// the lease is free or is the holder's. The clock is that of the database, because several machines may compete.
    const HOLD_LEASE: &'static str;

    /// Begins a transaction that may write.
    fn write(&self) -> impl Future<Output = Result<Self::Tx, StoreError>> + Send;

    /// Begins a transaction that only reads.
    fn read(&self) -> impl Future<Output = Result<Self::Tx, StoreError>> + Send;
}

/// An open transaction. If it is dropped, nothing of it happens.
pub(super) trait Tx: Send {
    /// Runs a statement; returns how many rows it changed.
    fn run(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The rows that a statement returns.
    fn rows(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Makes everything happen.
    fn commit(self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The first row, if there is one.
    fn row(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send {
        async move { Ok(self.rows(sql, values).await?.into_iter().next()) }
    }
}

/// A value for a placeholder `$1`, `$2`, … of a statement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// Text, or NULL.
    Maybe(Option<&'a str>),
    /// A number.
    Int(i64),
    /// A number, or NULL.
    MaybeInt(Option<i64>),
    /// True, false, or NULL.
    Flag(Option<bool>),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Maybe(text)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// The values of the placeholders, in order.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::store::backend::Value::from($value)),*] };
}
pub(in crate::store) use values;

/// One row. Columns are read by their position in the statement.
#[derive(Debug)]
pub(super) enum Row {
    /// Of SQLite.
    Sqlite(sqlx::sqlite::SqliteRow),
    /// Of PostgreSQL.
    Postgres(sqlx::postgres::PgRow),
}

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident: $kind:ty;)*) => {
        impl Row {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The statement has no such column, or it has another type.
                pub(in crate::store) fn $name(&self, column: usize) -> Result<$kind, StoreError> {
                    Ok(match self {
                        Self::Sqlite(row) => sqlx::Row::try_get(row, column)?,
                        Self::Postgres(row) => sqlx::Row::try_get(row, column)?,
                    })
                }
            )*
        }
    };
}

columns! {
    /// Text.
    text: String;
    /// Text, or NULL.
    maybe: Option<String>;
    /// A number.
    int: i64;
    /// A number, or NULL.
    maybe_int: Option<i64>;
    /// True or false.
    flag: bool;
}

/// Implements [`Tx`] for a transaction of sqlx.
macro_rules! transaction {
    ($database:ty, $row:path) => {
        impl $crate::store::backend::Tx for sqlx::Transaction<'static, $database> {
            async fn run(
                &mut self,
                sql: &'static str,
                values: &[$crate::store::backend::Value<'_>],
            ) -> Result<u64, $crate::store::StoreError> {
                Ok(bound(sql, values).execute(&mut **self).await?.rows_affected())
            }

            async fn rows(
                &mut self,
                sql: &'static str,
                values: &[$crate::store::backend::Value<'_>],
            ) -> Result<Vec<$crate::store::backend::Row>, $crate::store::StoreError> {
                let rows = bound(sql, values).fetch_all(&mut **self).await?;
                Ok(rows.into_iter().map($row).collect())
            }

            async fn commit(self) -> Result<(), $crate::store::StoreError> {
                Ok(sqlx::Transaction::commit(self).await?)
            }
        }

        fn bound<'q>(
            sql: &'static str,
            values: &[$crate::store::backend::Value<'_>],
        ) -> sqlx::query::Query<'q, $database, <$database as sqlx::Database>::Arguments> {
            use $crate::store::backend::Value;
            values.iter().fold(sqlx::query(sql), |query, value| match *value {
                Value::Text(text) => query.bind(text),
                Value::Maybe(text) => query.bind(text),
                Value::Int(number) => query.bind(number),
                Value::MaybeInt(number) => query.bind(number),
                Value::Flag(flag) => query.bind(flag),
            })
        }
    };
}
pub(in crate::store) use transaction;
