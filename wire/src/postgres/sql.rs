//! Finding `$1`-style parameters in SQL text, past strings and comments (Postgres manual, 4.1
//! "Lexical Structure").

/// The byte range of each `$n` in `sql`, with n, in the order of the text.
pub(super) fn parameters(sql: &str) -> Vec<(std::ops::Range<usize>, usize)> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        at += match rest {
            [b'\'', ..] => quoted(rest, b'\'', is_escape_string(&bytes[..at])),
            [b'"', ..] => quoted(rest, b'"', false),
            [b'-', b'-', ..] => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
            [b'/', b'*', ..] => block_comment(rest),
            [b'$', digit, ..] if digit.is_ascii_digit() => {
                let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let number = sql[at + 1..at + 1 + digits].parse().unwrap_or(usize::MAX);
                found.push((at..at + 1 + digits, number));
                1 + digits
            }
            [b'$', ..] => dollar_quoted(rest),
            // An identifier may hold dollar signs: it is passed over whole.
            [first, ..] if is_identifier(*first) => {
                let long = rest.iter().take_while(|&&byte| is_identifier(byte) || byte == b'$');
                // The E of an escape string stays a prefix: the quote follows it.
                long.count()
            }
            _ => 1,
        };
    }
    found
}

/// Whether a quote after `text` begins an escape string: `E'..'`, but not `type'..'`.
fn is_escape_string(text: &[u8]) -> bool {
    match text {
        [.., before, b'e' | b'E'] => !is_identifier(*before),
        [b'e' | b'E'] => true,
        _ => false,
    }
}

fn is_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The length of a quoted run that begins at `text`'s front; all of it where it does not end.
fn quoted(text: &[u8], quote: u8, backslash_escapes: bool) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' if backslash_escapes => at += 2,
            byte if byte == quote && text.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn block_comment(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    text.len()
}

fn dollar_quoted(text: &[u8]) -> usize {
    let tag = text[1..].iter().take_while(|byte| is_identifier(**byte)).count() + 2;
    match text.get(..tag) {
        Some(opening) if opening.ends_with(b"$") => {
            memchr::memmem::find(&text[tag..], opening).map_or(text.len(), |end| 2 * tag + end)
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_only_where_they_are_parameters() {
        for (sql, expected) in [
            ("SELECT $1, $12", vec![1, 12]),
            ("SELECT '$1', $2", vec![2]),
            ("SELECT 'it''s $1', $2", vec![2]),
            (r"SELECT E'\'$1', $2", vec![2]),
            (r"SELECT '\', $2", vec![2]),
            (r"SELECT date'\', $2", vec![2]),
            ("SELECT \"a$1\", $2 -- $3\n, $4", vec![2, 4]),
            ("SELECT /* $1 /* $2 */ $3 */ $4", vec![4]),
            ("SELECT $$ $1 $$, $tag$ $2 $x$ $tag$, $3", vec![3]),
            ("SELECT a$1 FROM t WHERE b=$2::int8", vec![2]),
            ("SELECT 'open $1", vec![]),
            ("SELECT $tag", vec![]),
            ("SELECT 'é', $1", vec![1]),
        ] {
            let numbers: Vec<_> = parameters(sql).into_iter().map(|(_, number)| number).collect();
            assert_eq!(numbers, expected, "{sql}");
        }
    }
}
