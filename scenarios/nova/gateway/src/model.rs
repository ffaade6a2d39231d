//! What the schema is about.

use async_graphql::{ID, InputObject, SimpleObject};
use tokio_postgres::Row;

/// Someone who writes.
#[derive(Debug, SimpleObject)]
pub(crate) struct User {
    /// Assigned by the database.
    id: ID,
    /// The name to log in with.
    username: String,
    /// What the user tells about themselves.
    profile: Profile,
}

/// What a user tells about themselves.
#[derive(Debug, SimpleObject)]
pub(crate) struct Profile {
    /// A few words.
    bio: String,
    /// Where they live.
    location: String,
}

/// Something written.
#[derive(Debug, SimpleObject)]
pub(crate) struct Content {
    /// Assigned by the database.
    id: ID,
    /// One line.
    title: String,
    /// The text.
    body: String,
    /// The user who wrote it.
    author_id: ID,
    /// In UTC, as RFC 3339 writes it.
    created_at: String,
}

/// What a new content needs; its author is the caller.
#[derive(Debug, InputObject)]
pub(crate) struct CreateContentInput {
    /// One line.
    pub(crate) title: String,
    /// The text.
    pub(crate) body: String,
}

/// What a successful login hands out.
#[derive(Debug, SimpleObject)]
pub(crate) struct LoginPayload {
    /// A JWT for the `Authorization: Bearer` header.
    pub(crate) token: String,
}

/// What the database knows of a user who wants to log in.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// `users.id`.
    pub(crate) user_id: i64,
    /// A PHC string.
    pub(crate) password_hash: String,
}

impl From<&Row> for User {
    /// From the columns of [`USER`](crate::statements::USER).
    fn from(row: &Row) -> Self {
        Self {
            id: row.get::<_, i64>(0).into(),
            username: row.get(1),
            profile: Profile { bio: row.get(2), location: row.get(3) },
        }
    }
}

impl From<&Row> for Content {
    /// From the columns every statement about contents returns.
    fn from(row: &Row) -> Self {
        Self {
            id: row.get::<_, i64>(0).into(),
            title: row.get(1),
            body: row.get(2),
            author_id: row.get::<_, i64>(3).into(),
            created_at: row.get(4),
        }
    }
}

impl From<&Row> for Credentials {
    /// From the columns of [`LOGIN`](crate::statements::LOGIN).
    fn from(row: &Row) -> Self {
        Self { user_id: row.get(0), password_hash: row.get(1) }
    }
}
