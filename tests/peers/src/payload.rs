//! What goes over HTTP: the same request from every client, the same reply to each.

/// The GraphQL query.
pub(crate) const QUERY: &str = "query GetUser($id: ID!) { user(id: $id) { id username email bio avatarUrl createdAt displayName locale status } }";

/// The only variable's value; the reply must carry it.
pub(crate) const ID: u32 = 12345;

/// What GraphQL clients accept; poolbench sends it by itself, the others are told to.
pub(crate) const ACCEPT: &str = "application/graphql-response+json, application/json;q=0.9";

/// Where the server answers.
pub(crate) const PATH: &str = "/graphql";

/// The request's body, 150 B.
pub(crate) fn body() -> String {
    format!(r#"{{"query":"{QUERY}","variables":{{"id":{ID}}}}}"#)
}

/// The beginning, the part that is repeated, how often, and the end of a GraphQL reply of `bytes`.
///
/// nginx takes no word of its configuration above 4 KiB, so that a long reply is built of parts.
pub(crate) struct Reply {
    pub(crate) head: String,
    pub(crate) part: String,
    pub(crate) times: usize,
    pub(crate) tail: String,
}

impl Reply {
    /// One of exactly `bytes`; 100 at least.
    pub(crate) fn new(bytes: usize) -> Self {
        let head = format!(r#"{{"data":{{"user":{{"id":{ID}}},"items":["#);
        let item = r#"{"id":1001,"title":"As it was in the beginning","likes":17},"#;
        // The tail's string fills up to the length.
        let (open, close) = (r#"{"title":""#, r#""}]}}"#);
        let room = bytes.saturating_sub(head.len() + open.len() + close.len());
        let per_part = (3000 / item.len()).min(room / item.len());
        let part = item.repeat(per_part);
        let times = if part.is_empty() { 0 } else { room / part.len() };
        let fill = room - times * part.len();
        Self { head, part, times, tail: format!("{open}{}{close}", "x".repeat(fill)) }
    }

    /// The whole.
    pub(crate) fn text(&self) -> String {
        format!("{}{}{}", self.head, self.part.repeat(self.times), self.tail)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_request_is_graphql_of_150_bytes() {
        let body = body();
        assert_eq!(body.len(), 150);
        let json: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["variables"]["id"], ID);
    }

    #[test]
    fn replies_are_graphql_of_the_length_asked_for_in_parts_that_nginx_takes() {
        for bytes in [100, 120, 121, 4096, 20 * 1024, 20 * 1024 + 1] {
            let reply = Reply::new(bytes);
            let text = reply.text();
            assert_eq!(text.len(), bytes);
            let json: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(json["data"]["user"]["id"], ID);
            assert!(reply.part.len() < 4000 && reply.tail.len() < 4000, "{bytes}");
        }
    }
}
