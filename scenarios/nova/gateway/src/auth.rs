//! Who may ask: tokens, and which documents need none.

use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp,
};
use serde::{Deserialize, Serialize};

use crate::hs256;

/// How long a token from the login mutation is good for: longer than a soak.
const TOKEN_LIFETIME_S: u64 = 24 * 60 * 60;

/// What a token says.
#[derive(Debug, Deserialize, Serialize)]
struct Claims {
    /// The user's id, in decimal.
    sub: String,
    /// Seconds since the epoch after which the token is void.
    exp: u64,
}

/// The user a request speaks for. In a GraphQL context when, and only when, the token was good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// `users.id`.
    pub(crate) user_id: i64,
}

/// Why a request speaks for nobody.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// No `Authorization` header, or not a bearer one.
    #[error("token missing: send \"Authorization: Bearer JWT\"")]
    Missing,
    /// Not a JWT, a wrong signature or algorithm, or claims that are not ours.
    #[error("token invalid")]
    Invalid,
    /// `exp` has passed.
    #[error("token expired")]
    Expired,
}

/// Signs and verifies tokens with one secret.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Tokens {
    /// Tokens signed with `secret`.
    pub(crate) fn new(secret: &[u8]) -> Self {
        hs256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.validate_aud = false;
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
        }
    }

    /// A token for a user who has just proved who they are.
    pub(crate) fn issue(&self, user_id: i64) -> jsonwebtoken::errors::Result<String> {
        let exp = get_current_timestamp() + TOKEN_LIFETIME_S;
        encode(&Header::default(), &Claims { sub: user_id.to_string(), exp }, &self.encoding)
    }

    /// The caller named by an `Authorization` header's value.
    pub(crate) fn caller(&self, authorization: Option<&[u8]>) -> Result<Caller, Denied> {
        let token = authorization.and_then(bearer).ok_or(Denied::Missing)?;
        let claims = decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => Denied::Expired,
                _ => Denied::Invalid,
            })?
            .claims;
        let user_id = claims.sub.parse().map_err(|_| Denied::Invalid)?;
        Ok(Caller { user_id })
    }
}

/// The token of a bearer header; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

/// Whether a document does nothing but log in, so that it needs no token.
///
/// Every operation must be a mutation of plain `login` fields. A fragment, an inline one too,
/// counts as something else: the list of what is let through stays short enough to be seen whole.
pub(crate) fn is_login(document: &ExecutableDocument) -> bool {
    document.operations.iter().all(|(_, operation)| {
        operation.node.ty == OperationType::Mutation
            && operation.node.selection_set.node.items.iter().all(|item| match &item.node {
                Selection::Field(field) => field.node.name.node == "login",
                Selection::FragmentSpread(_) | Selection::InlineFragment(_) => false,
            })
    })
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn signed(sub: &str, exp: u64, header: Header) -> Vec<u8> {
        let claims = Claims { sub: sub.into(), exp };
        let token = encode(&header, &claims, &EncodingKey::from_secret(b"secret")).unwrap();
        format!("Bearer {token}").into_bytes()
    }

    #[test]
    fn a_token_names_its_user() {
        let tokens = Tokens::new(b"secret");
        let header = format!("bearer {}", tokens.issue(42).unwrap());
        assert_eq!(tokens.caller(Some(header.as_bytes())), Ok(Caller { user_id: 42 }));
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let tokens = Tokens::new(b"secret");
        let later = get_current_timestamp() + 60;
        let check = |header: Option<&[u8]>, reason| assert_eq!(tokens.caller(header), Err(reason));
        check(None, Denied::Missing);
        check(Some(b"Basic dXNlcjpub3Zh"), Denied::Missing);
        check(Some(b"Bearer"), Denied::Missing);
        check(Some(b"Bearer a.b.c"), Denied::Invalid);
        check(Some(&signed("nobody", later, Header::default())), Denied::Invalid);
        check(Some(&signed("42", get_current_timestamp() - 1, Header::default())), Denied::Expired);
        let other = Tokens::new(b"another secret");
        assert_eq!(
            other.caller(Some(&signed("42", later, Header::default()))),
            Err(Denied::Invalid)
        );
    }

    #[test]
    fn an_unsigned_token_is_invalid() {
        // {"alg":"none"} . {"sub":"42","exp":9999999999} . no signature
        let token = b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiIsImV4cCI6OTk5OTk5OTk5OX0.";
        assert_eq!(Tokens::new(b"secret").caller(Some(token)), Err(Denied::Invalid));
    }

    #[test]
    fn only_a_plain_login_needs_no_token() {
        let check = |document: &str, expected| {
            assert_eq!(is_login(&parse_query(document).unwrap()), expected, "{document}");
        };
        let login = r#"login(username: "user1", password: "nova") { token }"#;
        check(&format!("mutation {{ {login} }}"), true);
        check(&format!("mutation In {{ entry: {login} }}"), true);
        check("{ feed { id } }", false);
        check("{ login: feed { id } }", false);
        check(&format!("query {{ {login} }}"), false);
        check("{ __schema { types { name } } }", false);
        check(&format!("mutation {{ {login} createContent(input: {{}}) {{ id }} }}"), false);
        check(&format!("mutation A {{ {login} }} query B {{ feed {{ id }} }}"), false);
        check(&format!("mutation {{ ...L }} fragment L on Mutation {{ {login} }}"), false);
        check(&format!("mutation {{ ... on Mutation {{ {login} }} }}"), false);
    }
}
