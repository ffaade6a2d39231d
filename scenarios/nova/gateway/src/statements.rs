//! Every SQL statement the gateway sends, one per GraphQL operation.
//!
//! The nova scenario repeats these texts word for word, so that the arms without the gateway give
//! the database the same work. Parameters are int8 and text; columns are int8 and text too, with
//! times spelt by Postgres, so that no type ever has to be looked up by another query.
//! `created_at` must stay without an alias of that name: ORDER BY would sort by the text.

/// `feed`: $1 int8 is the limit.
pub(crate) const FEED: &str = "SELECT id, title, body, author_id, \
     to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
     FROM contents ORDER BY created_at DESC, id DESC LIMIT $1";

/// `user`, always with its profile: $1 int8 is the user's id.
pub(crate) const USER: &str = "SELECT u.id, u.username, p.bio, p.location \
     FROM users u JOIN profiles p ON p.user_id = u.id WHERE u.id = $1";

/// `content`: $1 int8 is the content's id.
pub(crate) const CONTENT: &str = "SELECT id, title, body, author_id, \
     to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
     FROM contents WHERE id = $1";

/// `searchContent`: $1 text is the query, $2 int8 the limit.
pub(crate) const SEARCH_CONTENT: &str = "SELECT id, title, body, author_id, \
     to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
     FROM contents WHERE search @@ plainto_tsquery('english', $1) \
     ORDER BY created_at DESC, id DESC LIMIT $2";

/// `createContent`: $1 int8 is the author's id, $2 text the title, $3 text the body.
pub(crate) const CREATE_CONTENT: &str = "INSERT INTO contents (author_id, title, body) \
     VALUES ($1, $2, $3) RETURNING id, title, body, author_id, \
     to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";

/// `login`: $1 text is the username.
pub(crate) const LOGIN: &str = "SELECT id, password_hash FROM users WHERE username = $1";
