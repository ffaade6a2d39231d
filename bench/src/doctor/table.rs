//! A diagnosis for a person at a terminal.

use std::fmt::Write as _;

use super::{Diagnosis, IsolationSummary, Level};

/// Lines are no wider than this, so that they fit any terminal.
const WIDTH: usize = 100;
/// Of the words before the text of a finding.
const INDENT: usize = 10;

/// The whole result.
pub(crate) fn text(diagnosis: &Diagnosis) -> String {
    let subject = diagnosis.scenario.as_deref().unwrap_or("this machine");
    let looked_at = diagnosis.looked_at.join(", ");
    let findings = &diagnosis.findings;
    let mut text = String::new();
    if let Some(ceiling) = &diagnosis.ceiling {
        let line = format!(
            "the generator's ceiling here, {}: {:.0} requests a second over HTTP, {:.0} over the \
             Postgres protocol, on servers that do nothing",
            ceiling.workers_named(),
            ceiling.http,
            ceiling.postgres,
        );
        paragraph(&mut text, "", 0, &line);
        text.push('\n');
    }
    for isolation in &diagnosis.isolation {
        paragraph(&mut text, "", 0, &isolated(isolation));
    }
    if !diagnosis.isolation.is_empty() {
        text.push('\n');
    }
    if findings.is_empty() {
        let line = format!("{subject}: nothing will spoil a run (looked at {looked_at})");
        paragraph(&mut text, "", 0, &line);
        return text;
    }
    for finding in findings {
        let mark = match finding.level {
            Level::Problem => "problem",
            Level::Warning => "warning",
            Level::Note => "note",
        };
        paragraph(&mut text, mark, INDENT, &format!("{}: {}", finding.name, finding.seen));
        paragraph(&mut text, "", INDENT, &finding.reason);
        paragraph(&mut text, "->", INDENT, &finding.remedy);
        text.push('\n');
    }
    let count = |level, what: &str| match findings
        .iter()
        .filter(|finding| finding.level == level)
        .count()
    {
        0 => None,
        1 => Some(format!("1 {what}")),
        more => Some(format!("{more} {what}s")),
    };
    let counts = [
        count(Level::Problem, "problem"),
        count(Level::Warning, "warning"),
        count(Level::Note, "note"),
    ];
    let counts: Vec<_> = counts.into_iter().flatten().collect();
    let summary = format!("{subject}: {} (looked at {looked_at})", counts.join(", "));
    paragraph(&mut text, "", 0, &summary);
    text
}

/// As in `isolation on pooler (transaction pooling): SET broken, temporary tables kept`.
fn isolated(isolation: &IsolationSummary) -> String {
    let mode = isolation.pool_mode.as_deref().map(|mode| format!(" ({mode} pooling)"));
    let states = isolation.states.iter().map(|state| {
        let problem = state.problem.as_deref().map(|problem| format!(" ({problem})"));
        format!("{} {}{}", state.state, state.isolation.name(), problem.unwrap_or_default())
    });
    let states: Vec<_> = states.collect();
    let is_shared = isolation.states.iter().any(|state| state.shared);
    let alone = if is_shared { "" } else { "; no two clients had the same server connection" };
    let mode = mode.unwrap_or_default();
    format!("isolation on {}{mode}: {}{alone}", isolation.target, states.join(", "))
}

/// Words in lines that begin after `indent` columns, the mark before the first one.
fn paragraph(text: &mut String, mark: &str, indent: usize, words: &str) {
    let mut line = format!("{mark:<indent$}");
    let mut is_first = true;
    for word in words.split(' ') {
        let width = line.chars().count() + 1 + word.chars().count();
        if !is_first && width > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(indent);
            is_first = true;
        }
        if !is_first {
            line.push(' ');
        }
        line.push_str(word);
        is_first = false;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::super::examples::{closed, facts, open, pooler, scenario};
    use super::*;

    #[test]
    fn all_is_well() {
        let scenario = scenario(vec![open(1000.0, 50)]);
        insta::assert_snapshot!(text(&Diagnosis::from_facts(Some(&scenario), &facts())));
        insta::assert_snapshot!(text(&Diagnosis::from_facts(None, &facts())));
    }

    fn unwell() -> Diagnosis {
        let mut load = closed(2000, (500, 3000));
        load.target = Some("pooler".into());
        load.expected_rate = Some(2500.0);
        let mut facts = facts();
        facts.machine.clock_source = Some("hpet".into());
        facts.machine.open_files_max = Some(1024);
        pooler(&mut facts).pool_size = Some(25);
        facts.targets.get_mut("pooler").unwrap().listener.as_mut().unwrap().cores =
            Some(vec![5, 6, 7]);
        Diagnosis::from_facts(Some(&scenario(vec![load])), &facts)
    }

    #[test]
    fn findings_for_people() {
        let diagnosis = unwell();
        assert!(diagnosis.has_problem());
        let text = text(&diagnosis);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn isolation_for_people() {
        use super::super::facts::{Isolation, StateFacts};
        let state = |what, is_broken, problem: Option<&str>| StateFacts {
            what,
            is_broken,
            is_shared: is_broken,
            problem: problem.map(Into::into),
        };
        let mut facts = facts();
        let mut isolate = |target: &str, states| {
            let target = facts.targets.get_mut(target).unwrap();
            target.isolation = Some(Ok(Isolation { states }));
        };
        let states = vec![
            state("SET", true, None),
            state("temporary tables", false, Some("permission denied")),
            state("prepared names", false, None),
        ];
        isolate("pooler", states);
        isolate("postgres", vec![state("SET", false, None)]);
        let scenario = scenario(vec![open(1000.0, 50)]);
        insta::assert_snapshot!(text(&Diagnosis::from_facts(Some(&scenario), &facts)));
    }

    #[test]
    fn findings_for_programs() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&unwell()).unwrap());
    }
}
