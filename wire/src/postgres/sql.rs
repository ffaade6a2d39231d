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
    let tokens = Tokens::new(sql).map(|(token, range)| (token, &sql[range]));
    for (token, text) in tokens.chain([(Token::End, ";")]) {
        match token {
            Token::Word => words.push(text.to_ascii_uppercase()),
            Token::End if !words.is_empty() => {
                commands.push(command(&words.iter().map(String::as_str).collect::<Vec<_>>()));
                words.clear();
            }
            _ => {}
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
        _ => None,
    };
    Tokens::new(sql).filter_map(number).collect()
}

/// What a piece of SQL text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// White space.
    Space,
    /// From `--` to the end of the line, or from `/*` to `*/`.
    Comment,
    /// A string or a quoted name, with its quotes; up to the text's end where it has none.
    Quoted,
    /// A key word or a name.
    Word,
    /// `$n`.
    Parameter(usize),
    /// A semicolon that ends a statement: none in brackets, and none in the body of a function that
    /// is written in SQL.
    End,
    /// Any other character.
    Symbol,
}

/// The tokens of SQL text, each with its range in it: joined they are the text. Strings are read with
/// standard_conforming_strings on.
///
/// Where a statement ends is told as psql and pgbench tell it (psqlscan.l): not between the BEGIN and
/// the END of a CREATE FUNCTION or CREATE PROCEDURE.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
    head: Head,
    /// Brackets that are open.
    brackets: usize,
    /// Where the statement makes a routine: BEGIN and CASE that have had no END.
    blocks: usize,
}

/// What the first words of a statement make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Empty,
    Create,
    CreateOr,
    CreateOrReplace,
    Routine,
    Other,
}

impl Head {
    fn followed_by(self, word: &str) -> Self {
        let is = |wanted: &str| word.eq_ignore_ascii_case(wanted);
        match self {
            Self::Empty if is("CREATE") => Self::Create,
            Self::Create if is("OR") => Self::CreateOr,
            Self::CreateOr if is("REPLACE") => Self::CreateOrReplace,
            Self::Create | Self::CreateOrReplace if is("FUNCTION") || is("PROCEDURE") => {
                Self::Routine
            }
            Self::Routine => Self::Routine,
            _ => Self::Other,
        }
    }
}

impl<'a> Tokens<'a> {
    /// Those of `text`, which begins with a statement.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, head: Head::Empty, brackets: 0, blocks: 0 }
    }

    fn word(&mut self, word: &str) {
        self.head = self.head.followed_by(word);
        if self.head != Head::Routine || self.brackets > 0 {
            return;
        }
        let is = |wanted: &str| word.eq_ignore_ascii_case(wanted);
        if is("BEGIN") || is("CASE") && self.blocks > 0 {
            self.blocks += 1;
        } else if is("END") {
            self.blocks = self.blocks.saturating_sub(1);
        }
    }

    fn semicolon(&mut self) -> Token {
        if self.brackets > 0 || self.blocks > 0 {
            return Token::Symbol;
        }
        self.head = Head::Empty;
        Token::End
    }
}

impl Iterator for Tokens<'_> {
    type Item = (Token, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text.as_bytes()[self.at..];
        let (token, length) = match rest {
            [] => return None,
            [b'\'', ..] => (Token::Quoted, string(rest, false)),
            [b'e' | b'E', b'\'', ..] => (Token::Quoted, 1 + string(&rest[1..], true)),
            [b'"', ..] => (Token::Quoted, quoted(rest, b'"', false)),
            [b'-', b'-', ..] => (Token::Comment, line(rest)),
            [b'/', b'*', ..] => (Token::Comment, block_comment(rest)),
            [b'$', digit, ..] if digit.is_ascii_digit() => {
                let digits = length_of(&rest[1..], |byte| byte.is_ascii_digit());
                let number = self.text[self.at + 1..][..digits].parse().unwrap_or(usize::MAX);
                (Token::Parameter(number), 1 + digits)
            }
            [b'$', ..] => dollar_quoted(rest).map_or((Token::Symbol, 1), |n| (Token::Quoted, n)),
            [first, ..] if begins_name(*first) => {
                let length = length_of(rest, |byte| is_in_name(byte) || byte == b'$');
                self.word(&self.text[self.at..][..length]);
                (Token::Word, length)
            }
            [first, ..] if is_space(*first) => (Token::Space, length_of(rest, is_space)),
            [b';', ..] => (self.semicolon(), 1),
            [first, ..] => {
                match first {
                    b'(' => self.brackets += 1,
                    b')' => self.brackets = self.brackets.saturating_sub(1),
                    _ => {}
                }
                (Token::Symbol, 1)
            }
        };
        let range = self.at..self.at + length;
        self.at = range.end;
        Some((token, range))
    }
}

fn length_of(text: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| is_part(**byte)).count()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}

fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_in_name(byte: u8) -> bool {
    begins_name(byte) || byte.is_ascii_digit()
}

fn line(text: &[u8]) -> usize {
    memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len())
}

/// The length of a string that begins at `text`'s front. It goes on behind white space with a line's
/// end in it where another quote follows.
fn string(text: &[u8], backslash_escapes: bool) -> usize {
    let mut at = quoted(text, b'\'', backslash_escapes);
    while let Some(space) = continued(&text[at..]) {
        at += space + quoted(&text[at + space..], b'\'', backslash_escapes);
    }
    at
}

/// The length of white space in which a line ends, and which a quote follows.
fn continued(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match &text[at..] {
            [b'\'', ..] => break,
            [b'-', b'-', ..] => at += line(&text[at..]),
            [space, ..] if is_space(*space) => at += 1,
            _ => return None,
        }
    }
    text[..at].iter().any(|byte| matches!(byte, b'\n' | b'\r')).then_some(at)
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

fn dollar_quoted(text: &[u8]) -> Option<usize> {
    let tag = length_of(&text[1..], is_in_name) + 2;
    let opening = text.get(..tag).filter(|opening| opening.ends_with(b"$"))?;
    Some(memchr::memmem::find(&text[tag..], opening).map_or(text.len(), |end| 2 * tag + end))
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
            ("SELECT E'a''\\'$1', $2", vec![2]),
            ("SELECT E'a'\n -- '\n'\\'$1', $2", vec![2]),
            ("SELECT E'a' '\\', $1", vec![1]),
            ("SELECT 1E'\\'$1', $2", vec![2]),
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
            ("CREATE RULE a AS ON UPDATE TO b DO (LISTEN c; LISTEN d)", vec![Other]),
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

    /// What stands between the ends of statements.
    fn statements(sql: &str) -> Vec<&str> {
        let ends = Tokens::new(sql).filter(|(token, _)| *token == Token::End);
        let mut from = 0;
        let statement = |end: usize| sql[std::mem::replace(&mut from, end + 1)..end].trim();
        ends.map(|(_, range)| range.start).chain([sql.len()]).map(statement).collect()
    }

    #[test]
    fn statements_end_outside_of_quotes_brackets_comments_and_bodies() {
        for (sql, expected) in [
            ("SELECT 1; SELECT 2", vec!["SELECT 1", "SELECT 2"]),
            ("SELECT ';' ;", vec!["SELECT ';'", ""]),
            ("SELECT \"a;b\"", vec!["SELECT \"a;b\""]),
            ("SELECT $a$;$a$ , $1;x", vec!["SELECT $a$;$a$ , $1", "x"]),
            ("CREATE RULE r AS (a; b);c", vec!["CREATE RULE r AS (a; b)", "c"]),
            ("SELECT 1 -- ;\n+ 1", vec!["SELECT 1 -- ;\n+ 1"]),
            ("SELECT 1 /* ; /* ; */ ; */;", vec!["SELECT 1 /* ; /* ; */ ; */", ""]),
            ("BEGIN; SELECT 1; END", vec!["BEGIN", "SELECT 1", "END"]),
            (
                "create function f() begin atomic select 1; select case when a then b end; end; c",
                vec![
                    "create function f() begin atomic select 1; select case when a then b end; end",
                    "c",
                ],
            ),
            (
                "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC END; BEGIN; c",
                vec!["CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC END", "BEGIN", "c"],
            ),
            (
                "CREATE FUNCTION f(a begin) AS 'b'; c",
                vec!["CREATE FUNCTION f(a begin) AS 'b'", "c"],
            ),
            ("CREATE TABLE begin (a int); c", vec!["CREATE TABLE begin (a int)", "c"]),
        ] {
            assert_eq!(statements(sql), expected, "{sql}");
        }
    }

    proptest::proptest! {
        #[test]
        fn tokens_joined_are_the_text(sql in "[ae'\"$1;()\\\\/*\n é-]{0,40}") {
            let mut at = 0;
            for (_, range) in Tokens::new(&sql) {
                proptest::prop_assert!(range.start == at && range.end > at);
                proptest::prop_assert!(sql.get(range.clone()).is_some());
                at = range.end;
            }
            proptest::prop_assert_eq!(at, sql.len());
        }
    }
}
