//! The queries.

use async_graphql::{Context, Error, ID, Object, Result};

use crate::database::Database;
use crate::model::{Content, User};

/// How many contents one operation may ask for.
const LIMITS: std::ops::RangeInclusive<i32> = 1..=100;

/// The root of all queries.
pub(crate) struct Query;

#[Object]
impl Query {
    /// The newest contents.
    async fn feed(
        &self,
        context: &Context<'_>,
        #[graphql(default = 20)] limit: i32,
    ) -> Result<Vec<Content>> {
        let limit = checked_limit(limit)?;
        Ok(context.data::<Database>()?.feed(limit).await?)
    }

    /// A user with their profile; an error if there is none.
    async fn user(&self, context: &Context<'_>, id: ID) -> Result<User> {
        let key = checked_id(&id)?;
        let user = context.data::<Database>()?.user(key).await?;
        user.ok_or_else(|| Error::new(format!("user {key} does not exist")))
    }

    /// A content; an error if there is none.
    async fn content(&self, context: &Context<'_>, id: ID) -> Result<Content> {
        let key = checked_id(&id)?;
        let content = context.data::<Database>()?.content(key).await?;
        content.ok_or_else(|| Error::new(format!("content {key} does not exist")))
    }

    /// The newest contents that hold all words of the query, in any inflection.
    async fn search_content(
        &self,
        context: &Context<'_>,
        query: String,
        #[graphql(default = 10)] limit: i32,
    ) -> Result<Vec<Content>> {
        let limit = checked_limit(limit)?;
        Ok(context.data::<Database>()?.search_content(&query, limit).await?)
    }
}

fn checked_limit(limit: i32) -> Result<i64> {
    if LIMITS.contains(&limit) {
        Ok(limit.into())
    } else {
        let (least, most) = LIMITS.into_inner();
        Err(Error::new(format!("limit must be from {least} to {most}, not {limit}")))
    }
}

fn checked_id(id: &ID) -> Result<i64> {
    id.parse().map_err(|_| Error::new("id must be a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_inclusive() {
        let accepted = |limit| checked_limit(limit).is_ok();
        assert_eq!([0, 1, 100, 101].map(accepted), [false, true, true, false]);
        assert_eq!(checked_limit(-1).unwrap_err().message, "limit must be from 1 to 100, not -1");
    }

    #[test]
    fn ids_are_int8() {
        assert_eq!(checked_id(&ID::from("9223372036854775807")).unwrap(), i64::MAX);
        assert!(checked_id(&ID::from("9223372036854775808")).is_err());
        assert!(checked_id(&ID::from("1 OR 1=1")).is_err());
    }
}
