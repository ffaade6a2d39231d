//! Where a statement of a script ends: at a semicolon, or at a backslash command (psqlscan.l).

/// What ended a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Semicolon,
    Backslash,
    Text,
}

/// One statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Without comments in front; empty where there is none.
    pub(super) sql: String,
    /// Where it begins.
    pub(super) start: usize,
    pub(super) end: End,
    /// Where the script goes on: behind the semicolon or the backslash.
    pub(super) next: usize,
}

/// The statement that begins at `from`. Semicolons within quotes, comments and brackets belong to
/// it, and `\;` is one that does not end it.
pub(super) fn cut(text: &str, from: usize) -> Cut {
    let bytes = text.as_bytes();
    let mut sql = String::new();
    let mut kept = from;
    let mut at = from;
    let mut depth = 0_usize;
    let (end, next) = loop {
        let Some(byte) = bytes.get(at) else {
            sql.push_str(&text[kept..at]);
            break (End::Text, at);
        };
        let rest = &bytes[at..];
        match byte {
            b'\\' if matches!(rest.get(1), Some(b';' | b':')) => {
                sql.push_str(&text[kept..at]);
                kept = at + 1;
                at += 2;
            }
            b'\\' => {
                sql.push_str(&text[kept..at]);
                break (End::Backslash, at + 1);
            }
            b';' if depth == 0 => {
                sql.push_str(&text[kept..at]);
                break (End::Semicolon, at + 1);
            }
            b'(' => (depth, at) = (depth + 1, at + 1),
            b')' => (depth, at) = (depth.saturating_sub(1), at + 1),
            b'\'' => at += quoted(rest, b'\'', is_escaping(&bytes[from..at])),
            b'"' => at += quoted(rest, b'"', false),
            b'-' if rest.starts_with(b"--") => at += line(rest),
            b'/' if rest.starts_with(b"/*") => at += comment(rest),
            b'$' => at += dollar_quoted(rest),
            byte if is_name(*byte) => {
                at += rest.iter().take_while(|&&byte| is_name(byte) || byte == b'$').count();
            }
            _ => at += 1,
        }
    };
    let skipped = skipped(&sql);
    // Only `\;` and `\:` are shorter in the statement, and nobody begins one with them.
    Cut { sql: sql.split_off(skipped), start: from + skipped, end, next }
}

/// White space and comments to the end of the line before anything else.
fn skipped(sql: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &sql[at..];
        let blank = rest.len() - rest.trim_start().len();
        at += blank;
        match sql[at..].starts_with("--") {
            true => at += line(&sql.as_bytes()[at..]),
            false => return at,
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Whether a quote behind `text` begins an escape string.
fn is_escaping(text: &[u8]) -> bool {
    match text {
        [.., before, b'e' | b'E'] => !is_name(*before),
        [b'e' | b'E'] => true,
        _ => false,
    }
}

fn line(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len())
}

fn quoted(text: &[u8], quote: u8, is_escaping: bool) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if is_escaping => at += 2,
            // A doubled one begins the next quoted run.
            byte if *byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn comment(text: &[u8]) -> usize {
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
    let tag = text[1..].iter().take_while(|byte| is_name(**byte)).count();
    let has_digit = text.get(1).is_some_and(u8::is_ascii_digit);
    let (opening, rest) = match text.get(..tag + 2) {
        Some(opening) if opening.ends_with(b"$") && !has_digit => text.split_at(opening.len()),
        _ => return 1,
    };
    let end = rest.windows(opening.len()).position(|window| window == opening);
    end.map_or(text.len(), |end| end + 2 * opening.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> Vec<(String, End)> {
        let mut all = Vec::new();
        let mut at = 0;
        loop {
            let cut = cut(text, at);
            all.push((cut.sql, cut.end));
            if cut.end == End::Text {
                return all;
            }
            at = cut.next;
        }
    }

    #[test]
    fn semicolons_end_statements_outside_of_quotes_brackets_and_comments() {
        for (text, expected) in [
            ("SELECT 1; SELECT 2", vec!["SELECT 1", "SELECT 2"]),
            ("SELECT ';' ;", vec!["SELECT ';' ", ""]),
            ("SELECT E'\\';';", vec!["SELECT E'\\';'", ""]),
            ("SELECT 'it''s;'", vec!["SELECT 'it''s;'"]),
            ("SELECT \"a;b\"", vec!["SELECT \"a;b\""]),
            ("SELECT $a$;$a$ , $1;x", vec!["SELECT $a$;$a$ , $1", "x"]),
            ("CREATE RULE r AS (a; b);c", vec!["CREATE RULE r AS (a; b)", "c"]),
            ("SELECT 1 -- ;\n+ 1", vec!["SELECT 1 -- ;\n+ 1"]),
            ("SELECT 1 /* ; /* ; */ ; */;", vec!["SELECT 1 /* ; /* ; */ ; */", ""]),
            ("-- only\n  -- comments\n", vec![""]),
            ("-- one\nSELECT 1", vec!["SELECT 1"]),
            ("SELECT 1 \\; SELECT 2;", vec!["SELECT 1 ; SELECT 2", ""]),
            ("SELECT 10\\:30", vec!["SELECT 10:30"]),
        ] {
            let found: Vec<_> = statements(text).into_iter().map(|(sql, _)| sql).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_backslash_ends_a_statement_too() {
        let found = statements("SELECT 1 \\");
        assert_eq!(found[0], ("SELECT 1 ".into(), End::Backslash));
        assert_eq!(statements("'\\'")[0], ("'\\'".into(), End::Text), "none in a string");
    }

    #[test]
    fn a_statement_begins_behind_comments() {
        let cut = cut("\n-- a\n  SELECT 1;", 0);
        assert_eq!((cut.start, cut.next), (8, 17));
    }
}
