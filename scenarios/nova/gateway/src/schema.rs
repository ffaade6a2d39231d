//! The schema: its roots, and what resolvers find in their context.

use std::sync::Arc;

use async_graphql::{EmptySubscription, Schema};

use crate::auth::Tokens;
use crate::database::Database;
use crate::mutation::Mutation;
use crate::query::Query;

/// The gateway's schema.
pub(crate) type NovaSchema = Schema<Query, Mutation, EmptySubscription>;

/// A schema whose resolvers use this database and these tokens.
pub(crate) fn build(database: Database, tokens: Arc<Tokens>) -> NovaSchema {
    Schema::build(Query, Mutation, EmptySubscription).data(database).data(tokens).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_the_one_clients_know() {
        let schema = Schema::new(Query, Mutation, EmptySubscription);
        insta::assert_snapshot!(schema.sdl());
    }
}
