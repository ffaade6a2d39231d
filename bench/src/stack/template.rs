//! Text with `{placeholders}`.

use super::error::StackError;

/// Replaces every `{key}` and fails if one is left over. Comment lines (`;` or `#`) may say anything.
pub(crate) fn fill(
    name: &'static str,
    template: &str,
    values: &[(&str, &str)],
) -> Result<String, StackError> {
    let mut filled = String::with_capacity(template.len());
    for line in template.lines() {
        let mut rest = line;
        if !line.trim_start().starts_with([';', '#']) {
            while let Some((before, key, after)) = placeholder(rest) {
                let value = values.iter().find(|(known, _)| *known == key).ok_or_else(|| {
                    StackError::Template { template: name, placeholder: key.to_owned() }
                })?;
                filled.push_str(before);
                filled.push_str(value.1);
                rest = after;
            }
        }
        filled.push_str(rest);
        filled.push('\n');
    }
    Ok(filled)
}

/// What is before, in and after the first `{word}` of a line.
fn placeholder(line: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(open) = line[from..].find('{').map(|at| from + at) {
        let inside = &line[open + 1..];
        let end =
            inside.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(inside.len());
        if end > 0 && inside[end..].starts_with('}') {
            return Some((&line[..open], &inside[..end], &inside[end + 1..]));
        }
        from = open + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: Result<&str, &str>) {
        let filled = fill("t", template, &[("port", "1"), ("pool_mode", "{port}")]);
        let filled = filled.map_err(|error| match error {
            StackError::Template { placeholder, .. } => placeholder,
            other => panic!("{other}"),
        });
        assert_eq!(filled, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn fills_every_place_once() {
        check("a={port} b={port}\n", Ok("a=1 b=1\n"));
        check("{pool_mode}", Ok("{port}\n"));
        check("; {what} is left alone\n", Ok("; {what} is left alone\n"));
        check("a={} b={A} c={port", Ok("a={} b={A} c={port\n"));
        check("a={{port}}", Ok("a={1}\n"));
        check("a={unknown}", Err("unknown"));
    }
}
