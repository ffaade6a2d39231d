//! The password file (Postgres manual, 34.16).

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What the password is looked up by: as the connection string says it, not resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// A name, an address, or a socket's folder.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The password, if there is one. `Err` is why the file is ignored.
pub(super) fn look_up(path: &Path, wanted: Wanted<'_>) -> Result<Option<Vec<u8>>, String> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(None) };
    if !metadata.is_file() {
        return Err(format!("password file {} is ignored, since it is no file", path.display()));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!(
            "password file {} is ignored, since others can read it: chmod 0600 it",
            path.display()
        ));
    }
    let Ok(text) = std::fs::read(path) else { return Ok(None) };
    Ok(find_password(&text, wanted))
}

/// The first line that matches wins; `*` matches anything; `\:` and `\\` are escapes.
fn find_password(passfile: &[u8], wanted: Wanted<'_>) -> Option<Vec<u8>> {
    let port = wanted.port.to_string();
    let wanted = [wanted.host, &port, wanted.database, wanted.user];
    let lines = passfile.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).find_map(|line| {
        let fields = split_fields(line);
        let [host, port, database, user, password] = fields.as_slice() else { return None };
        let is_match = [host, port, database, user].iter().zip(wanted).all(|(field, wanted)| {
            field.as_slice() == b"*" || field.as_slice() == wanted.as_bytes()
        });
        is_match.then(|| password.clone())
    })
}

fn split_fields(line: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = vec![Vec::new()];
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        let is_last = fields.len() == 5;
        let field = fields.len() - 1;
        match byte {
            b':' if !is_last => fields.push(Vec::new()),
            b'\\' => fields[field].extend(bytes.next()),
            other => fields[field].push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_as_libpq_finds_them() {
        let passfile = "# comment\n\
                        other:5432:*:nova:no\n\
                        127.0.0.1:5432:no\\:va:nova:a\\:b\\\\c\n\
                        ::1:5432:nova:nova:unescaped colons do not match\n\
                        \\:\\:1:*:nova:nova:six\n\
                        /run/pg:*:*:*:socket:with:colons\n\
                        127.0.0.1:*:*:*:second\r\n\
                        127.0.0.1:*:*:*:third\n\
                        localhost:*:*:*:pass word\u{a0}\u{ad}\n";
        let find = |host, database| {
            let wanted = Wanted { host, port: 5432, database, user: "nova" };
            find_password(passfile.as_bytes(), wanted)
                .map(|found| String::from_utf8(found).unwrap())
        };
        assert_eq!(find("127.0.0.1", "no:va").as_deref(), Some("a:b\\c"));
        assert_eq!(find("127.0.0.1", "nova").as_deref(), Some("second"), "the first match wins");
        assert_eq!(find("::1", "nova").as_deref(), Some("six"));
        assert_eq!(find("/run/pg", "nova").as_deref(), Some("socket:with:colons"));
        assert_eq!(find("localhost", "nova").as_deref(), Some("pass word\u{a0}\u{ad}"));
        assert_eq!(find("elsewhere", "nova"), None);
    }
}
