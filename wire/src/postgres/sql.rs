//! What can be told of SQL text without a server: its parameters, and what its first words say it
//! does; past strings and comments (Postgres manual, 4.1 "Lexical Structure").

use std::ops::Range;

/// What a statement does, as far as whoever sends it must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// It only reads: SELECT, VALUES, TABLE or SHOW.
    Read,
    /// BEGIN or START TRANSACTION: a transaction block begins.
    Begin,
    /// COMMIT, END, ROLLBACK, ABORT or PREPARE TRANSACTION: it ends.
    End,
    /// LISTEN: what it asks for comes to this server connection only.
    Listen,
    /// COPY FROM STDIN: it waits for data.
    CopyIn,
    /// COPY TO STDOUT.
    CopyOut,
    /// Anything else.
    Other,
}

/// What each of the statements in `sql` does; semicolons stand between them.
pub fn commands(sql: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let tokens = tokens(sql).into_iter().map(|(token, range)| (token, &sql[range]));
    for (token, text) in tokens.chain([(Token::Semicolon, ";")]) {
        match token {
            Token::Word => words.push(text.to_ascii_uppercase()),
            Token::Parameter(_) => {}
            Token::Semicolon if words.is_empty() => {}
            Token::Semicolon => {
                commands.push(command(&words.iter().map(String::as_str).collect::<Vec<_>>()));
                words.clear();
            }
        }
    }
    commands
}

fn command(words: &[&str]) -> Command {
    let has = |pair: [&str; 2]| words.windows(2).any(|at| at == pair);
    match words {
        ["SELECT" | "VALUES" | "TABLE" | "SHOW", ..] => Command::Read,
        ["BEGIN", ..] | ["START", "TRANSACTION", ..] => Command::Begin,
        ["COMMIT" | "ROLLBACK", "PREPARED", ..] => Command::Other,
        ["ROLLBACK" | "ABORT", rest @ ..] if rest.contains(&"TO") => Command::Other,
        ["COMMIT" | "END" | "ROLLBACK" | "ABORT", ..] | ["PREPARE", "TRANSACTION", ..] => {
            Command::End
        }
        ["LISTEN", ..] => Command::Listen,
        ["COPY", ..] if has(["FROM", "STDIN"]) => Command::CopyIn,
        ["COPY", ..] if has(["TO", "STDOUT"]) => Command::CopyOut,
        _ => Command::Other,
    }
}

/// `sql` with its parameters numbered anew, without gaps and in the order of their numbers; and
/// those numbers.
pub fn renumbered(sql: &str) -> (String, Vec<usize>) {
    let found = parameters(sql);
    let mut numbers: Vec<_> = found.iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut text = String::with_capacity(sql.len());
    let mut at = 0;
    for (range, number) in found {
        text.push_str(&sql[at..range.start]);
        at = range.end;
        let place = numbers.binary_search(&number).map_or(number, |place| place + 1);
        text += &format!("${place}");
    }
    text.push_str(&sql[at..]);
    (text, numbers)
}

/// The byte range of each `$n` in `sql`, with n, in the order of the text.
pub(super) fn parameters(sql: &str) -> Vec<(Range<usize>, usize)> {
    let number = |(token, range)| match token {
        Token::Parameter(number) => Some((range, number)),
        Token::Word | Token::Semicolon => None,
    };
    tokens(sql).into_iter().filter_map(number).collect()
}

/// What stands outside strings and comments; operators are left out, quoted names too.
enum Token {
    /// `$n`.
    Parameter(usize),
    /// A key word or a name.
    Word,
    Semicolon,
}

fn tokens(sql: &str) -> Vec<(Token, Range<usize>)> {
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
            [b';', ..] => {
                found.push((Token::Semicolon, at..at + 1));
                1
            }
            [b'$', digit, ..] if digit.is_ascii_digit() => {
                let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let number = sql[at + 1..at + 1 + digits].parse().unwrap_or(usize::MAX);
                found.push((Token::Parameter(number), at..at + 1 + digits));
                1 + digits
            }
            [b'$', ..] => dollar_quoted(rest),
            // An identifier may hold dollar signs: it is passed over whole.
            [first, ..] if is_identifier(*first) => {
                let long = rest.iter().take_while(|&&byte| is_identifier(byte) || byte == b'$');
                // The E of an escape string stays a prefix: the quote follows it.
                let length = long.count();
                found.push((Token::Word, at..at + length));
                length
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

    #[test]
    fn commands_are_told_by_their_first_words() {
        use Command::{Begin, CopyIn, CopyOut, End, Listen, Other, Read};
        for (sql, expected) in [
            ("select 1", vec![Read]),
            ("-- LISTEN a\n/* BEGIN; */ VALUES (1), (';')", vec![Read]),
            ("BEGIN; UPDATE a SET b = 1; COMMIT;", vec![Begin, Other, End]),
            ("start transaction read only; end", vec![Begin, End]),
            ("SAVEPOINT a; ROLLBACK TO SAVEPOINT a; ROLLBACK", vec![Other, Other, End]),
            ("PREPARE TRANSACTION 'a'; COMMIT PREPARED 'a'", vec![End, Other]),
            ("PREPARE a AS SELECT 1", vec![Other]),
            ("Listen \"a b\"", vec![Listen]),
            ("COPY a (b) FROM STDIN", vec![CopyIn]),
            ("COPY (SELECT a FROM b) TO STDOUT", vec![CopyOut]),
            ("COPY a FROM '/b/c'", vec![Other]),
            (" ;; ", vec![]),
        ] {
            assert_eq!(commands(sql), expected, "{sql}");
        }
    }

    #[test]
    fn parameters_are_numbered_anew_without_gaps() {
        assert_eq!(
            renumbered("SELECT '$2', $7, $3 + $7"),
            ("SELECT '$2', $2, $1 + $2".into(), vec![3, 7])
        );
        assert_eq!(renumbered("SELECT $1"), ("SELECT $1".into(), vec![1]));
        assert_eq!(renumbered("COMMIT"), ("COMMIT".into(), vec![]));
    }
}
