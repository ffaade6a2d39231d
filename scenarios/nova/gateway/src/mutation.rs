//! The mutations.

use std::sync::Arc;

use argon2::{Argon2, PasswordVerifier};
use async_graphql::{Context, Error, Object, Result};

use crate::auth::{Caller, Tokens};
use crate::database::Database;
use crate::model::{Content, CreateContentInput, LoginPayload};

/// The root of all mutations.
pub(crate) struct Mutation;

#[Object]
impl Mutation {
    /// Publishes a content in the caller's name.
    async fn create_content(
        &self,
        context: &Context<'_>,
        input: CreateContentInput,
    ) -> Result<Content> {
        let caller = context.data::<Caller>()?;
        let database = context.data::<Database>()?;
        let content = database.create_content(caller.user_id, &input.title, &input.body).await?;
        content.ok_or_else(|| Error::new("the database stored nothing"))
    }

    /// Exchanges a username and password for a token. The one field that needs no token itself.
    async fn login(
        &self,
        context: &Context<'_>,
        username: String,
        password: String,
    ) -> Result<LoginPayload> {
        let credentials = context.data::<Database>()?.credentials(&username).await?;
        let Some(credentials) = credentials else {
            return Err(wrong_login());
        };
        // With parameters fit for real passwords this takes tens of milliseconds: off the workers.
        let verified = tokio::task::spawn_blocking(move || {
            password_matches(&password, &credentials.password_hash)
        });
        if !verified.await.unwrap_or(false) {
            return Err(wrong_login());
        }
        let token = context.data::<Arc<Tokens>>()?.issue(credentials.user_id)?;
        Ok(LoginPayload { token })
    }
}

/// The same for an unknown user and a wrong password.
fn wrong_login() -> Error {
    Error::new("wrong username or password")
}

fn password_matches(password: &str, hash: &str) -> bool {
    Argon2::default().verify_password(password.as_bytes(), hash).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeded_hash_is_that_of_nova() {
        let seed = include_str!("../../seed.sql");
        let start = seed.find("$argon2id$").unwrap();
        let hash = seed[start..].split('\'').next().unwrap();
        assert!(password_matches("nova", hash));
        assert!(!password_matches("Nova", hash));
        assert!(!password_matches("nova", "no hash"));
    }
}
