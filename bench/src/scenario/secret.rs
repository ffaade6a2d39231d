//! Keeps secrets that stand in a scenario file out of what is shown of it.

use std::borrow::Cow;
use std::ops::Range;

/// Names of keys whose value is a secret, in the file and in connection strings.
const NAMES: [&str; 5] = ["password", "passwd", "pwd", "jwt", "secret"];

/// The text with each secret replaced by as many `*` as it has bytes: places stay the same.
/// A reference such as `${PGPASSWORD}` is no secret.
pub(super) fn mask(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    let named = NAMES.iter().flat_map(|name| lower.match_indices(name));
    let mut secrets: Vec<_> =
        named.filter_map(|(at, name)| value_after(text, at + name.len())).collect();
    secrets.extend(text.match_indices("://").filter_map(|(at, _)| userinfo(text, at + 3)));
    secrets.retain(|secret| !text[secret.clone()].starts_with("${"));
    if secrets.is_empty() {
        return text.into();
    }
    let mut bytes = text.as_bytes().to_vec();
    for secret in secrets {
        bytes[secret].fill(b'*');
    }
    String::from_utf8(bytes).map_or_else(|_| "*".repeat(text.len()).into(), Cow::Owned)
}

/// What stands after `=`, quoted or not.
fn value_after(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = &text[at..];
    let after_name = rest.trim_start_matches([' ', '\t', '"', '\'']);
    let value = after_name.strip_prefix('=')?.trim_start_matches([' ', '\t']);
    let start = text.len() - value.len();
    let (start, length) = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => (start + 1, value[1..].find([quote, '\n'])),
        _ => (start, value.find([' ', '\t', '\n', '"', '\'', ',', '&', '}'])),
    };
    let length = length.unwrap_or(text.len() - start);
    (length > 0).then_some(start..start + length)
}

/// The password of `user:password@host`.
fn userinfo(text: &str, at: usize) -> Option<Range<usize>> {
    let authority = text[at..].split(['/', '"', '\'', ' ', '\n']).next()?;
    let userinfo = &authority[..authority.rfind('@')?];
    let colon = userinfo.find(':')?;
    Some(at + colon + 1..at + userinfo.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_in_their_length_and_nothing_else_is() {
        for (text, masked) in [
            ("conninfo = \"host=a password=s3cret user=b\"", "password=****** user=b\""),
            ("conninfo = \"host=a password='two words'\"", "password='*********'\""),
            ("conninfo = \"password=last\"\nname = 1", "password=****\"\nname = 1"),
            ("url = 'postgres://nova:pä@host/db'", "'postgres://nova:***@host/db'"),
            ("jwt = \"a.b.c\"", "jwt = \"*****\""),
            ("variables = { password = \"nova\", a = 1 }", "{ password = \"****\", a = 1 }"),
            ("password = \"${PGPASSWORD}\"", "password = \"${PGPASSWORD}\""),
            ("graphql = \"login(password: $password) { token }\"", "(password: $password)"),
            ("url = \"http://host:4000/graphql\"", "http://host:4000/graphql"),
        ] {
            let shown = mask(text);
            assert!(shown.contains(masked), "{shown}");
            assert_eq!(shown.len(), text.len());
        }
    }
}
