//! Where a statement of a script ends: at a semicolon, or at a backslash command (psqlscan.l).

use wire::postgres::{Token, Tokens};

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
    /// As pgbench sends it: with its semicolon, without the comments in front that go to the end of
    /// their line; empty where there is none.
    pub(super) sql: String,
    /// Where it begins.
    pub(super) start: usize,
    pub(super) end: End,
    /// Where the script goes on: behind the semicolon or the backslash.
    pub(super) next: usize,
}

/// The statement that begins at `from`. `\;` is a semicolon that does not end it, and `\:` a colon
/// in front of no variable.
pub(super) fn cut(text: &str, from: usize) -> Cut {
    let rest = &text[from..];
    let mut tokens = Tokens::new(rest);
    let mut sql = String::new();
    let mut start = None;
    // What of the text is in `sql`.
    let mut taken = 0;
    let (end, next) = loop {
        let Some((token, range)) = tokens.next() else {
            sql.push_str(&rest[start.map_or(rest.len(), |_| taken)..]);
            break (End::Text, rest.len());
        };
        if start.is_none() {
            if token == Token::Space || rest[range.start..].starts_with("--") {
                continue;
            }
            start = Some(range.start);
            taken = range.start;
        }
        match (token, &rest[range.clone()]) {
            (Token::Symbol, "\\") if rest[range.end..].starts_with([';', ':']) => {
                sql.push_str(&rest[taken..range.start]);
                taken = range.end;
                tokens.next();
            }
            (Token::Symbol, "\\") => {
                sql.push_str(&rest[taken..range.start]);
                break (End::Backslash, range.end);
            }
            (Token::End, _) => {
                sql.push_str(&rest[taken..range.end]);
                break (End::Semicolon, range.end);
            }
            _ => {}
        }
    };
    Cut { sql, start: from + start.unwrap_or(next), end, next: from + next }
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
    fn statements_are_what_pgbench_sends() {
        for (text, expected) in [
            ("SELECT 1; SELECT 2", vec!["SELECT 1;", "SELECT 2"]),
            ("SELECT 1 ;\n;", vec!["SELECT 1 ;", ";", ""]),
            ("-- only\n  -- comments\n", vec![""]),
            ("-- one\nSELECT 1 -- two\n", vec!["SELECT 1 -- two\n"]),
            ("/* one */ -- two\nSELECT 1", vec!["/* one */ -- two\nSELECT 1"]),
            ("SELECT 1 \\; SELECT 2;", vec!["SELECT 1 ; SELECT 2;", ""]),
            ("\\; SELECT 2;", vec!["; SELECT 2;", ""]),
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
        assert_eq!(statements(" -- a\n\\set")[0], (String::new(), End::Backslash));
    }

    #[test]
    fn a_statement_begins_behind_comments() {
        let cut = cut("\n-- a\n  SELECT 1;", 0);
        assert_eq!((cut.start, cut.next), (8, 17));
        let cut = super::cut("SELECT 1; ;", 9);
        assert_eq!((cut.start, cut.next), (10, 11));
    }
}
