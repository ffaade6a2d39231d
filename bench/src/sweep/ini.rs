//! A pgbouncer.ini that is changed.

/// `text` with `name = value` in its section `[pgbouncer]`: in place of what is set there, or else as
/// the section's first line. The other lines stay as they are (PgBouncer manual, "Configuration").
pub(super) fn with(text: &str, name: &str, value: &str) -> String {
    let line = format!("{name} = {value}");
    let mut lines: Vec<&str> = text.lines().collect();
    let is_section = |line: &str| line.trim_start().starts_with('[');
    let start = lines.iter().position(|line| line.trim() == "[pgbouncer]");
    let Some(start) = start else { return format!("{text}\n[pgbouncer]\n{line}\n") };
    let length = lines[start + 1..].iter().position(|line| is_section(line));
    let end = length.map_or(lines.len(), |length| start + 1 + length);
    let sets = |line: &str| line.split_once('=').is_some_and(|(key, _)| key.trim() == name);
    // Of two lines PgBouncer takes the last.
    match (start + 1..end).rev().find(|place| sets(lines[*place])) {
        Some(place) => lines[place] = &line,
        None => lines.insert(start + 1, &line),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_changed_where_it_is_and_added_where_it_is_not() {
        let text = "[databases]\npool_mode = host=a pool_mode=session\n\n[pgbouncer]\n\
                    ; pool_mode = statement\npool_mode=transaction\nport = 1\n[users]\nu = pool_mode=session\n";
        let changed = text.replace("pool_mode=transaction", "pool_mode = session");
        assert_eq!(with(text, "pool_mode", "session"), changed);
        let added = text.replace("[pgbouncer]\n", "[pgbouncer]\nso_reuseport = 1\n");
        assert_eq!(with(text, "so_reuseport", "1"), added);
        assert_eq!(with("", "a", "1"), "\n[pgbouncer]\na = 1\n");
    }
}
