//! Which ways through the stack are compared, and with which.

use crate::arm::{ARMS, ArmKind};

/// Reads an arm of the command line: its name, or its target's.
pub(crate) fn parse(text: &str) -> Result<ArmKind, String> {
    let mut known = ARMS.into_iter();
    known.find(|kind| kind.name == text || kind.target == text).ok_or_else(|| {
        let names = ARMS.map(|kind| kind.name);
        format!("an arm is one of {}", names.join(", "))
    })
}

/// Those that were asked for, or else all that have a target. One that comes again is another arm of
/// the same layers, with connections of its own.
pub(super) fn choose(
    asked: &[ArmKind],
    has_target: impl Fn(&str) -> bool,
) -> Result<Vec<ArmKind>, String> {
    if let Some(kind) = asked.iter().find(|kind| !has_target(&kind.target)) {
        return Err(format!(
            "--arms asks for {}, and the scenario file has no target {}",
            kind.name, kind.target
        ));
    }
    let mut kinds: Vec<ArmKind> = match asked {
        [] => ARMS.into_iter().filter(|kind| has_target(&kind.target)).collect(),
        asked => asked.to_vec(),
    };
    for index in 1..kinds.len() {
        let before = kinds[..index].iter().filter(|kind| kind.target == kinds[index].target);
        match before.count() {
            0 => {}
            times => {
                let name = format!("{}#{}", kinds[index].name, times + 1);
                kinds[index].name = name.into();
            }
        }
    }
    if kinds.len() < 2 {
        let names = ARMS.map(|kind| kind.target);
        return Err(format!(
            "a comparison needs at least two of the targets {}, or one twice (--arms \
             pooler,pooler); the scenario file has {}",
            names.join(", "),
            kinds.len()
        ));
    }
    Ok(kinds)
}

/// Two arms that differ in one layer, or in none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// What one has and the other has not; `None` for two arms of the same layers.
    pub(crate) layer: Option<&'static str>,
    /// The layers that both have, Postgres left out: it is always there.
    pub(crate) given: Vec<&'static str>,
    /// Places in the list of arms.
    pub(crate) with: usize,
    pub(crate) without: usize,
}

/// The layer, the target with it, and the target without it.
const DIFFERENCES: [(&str, &str, &str); 4] = [
    ("gateway", "gateway", "pooler"),
    ("gateway", "gateway-direct", "postgres"),
    ("pooler", "gateway", "gateway-direct"),
    ("pooler", "pooler", "postgres"),
];

/// Each layer once with and once without the other, then arms against themselves.
pub(super) fn pairs(kinds: &[ArmKind]) -> Vec<Pair> {
    let given = |kind: &ArmKind| {
        kind.layers.iter().copied().filter(|layer| *layer != "postgres").collect::<Vec<_>>()
    };
    let place = |target: &str| kinds.iter().position(|kind| kind.target == target);
    let differing = DIFFERENCES.into_iter().filter_map(|(layer, with, without)| {
        let (with, without) = (place(with)?, place(without)?);
        Some(Pair { layer: Some(layer), given: given(&kinds[without]), with, without })
    });
    let again = kinds.iter().enumerate().filter_map(|(with, kind)| {
        let without = place(&kind.target).filter(|first| *first != with)?;
        Some(Pair { layer: None, given: given(kind), with, without })
    });
    differing.chain(again).collect()
}

/// The places of all four combinations of gateway and pooler: with both, with the gateway alone,
/// with the pooler alone, with none.
pub(super) fn square(kinds: &[ArmKind]) -> Option<[usize; 4]> {
    let place = |target: &str| kinds.iter().position(|kind| kind.target == target);
    Some([place("gateway")?, place("gateway-direct")?, place("pooler")?, place("postgres")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(asked: &[&str], targets: &[&str]) -> Result<Vec<String>, String> {
        let asked: Vec<_> = asked.iter().map(|text| parse(text).unwrap()).collect();
        let kinds = choose(&asked, |target| targets.contains(&target))?;
        Ok(kinds.iter().map(|kind| kind.name.to_string()).collect())
    }

    #[test]
    fn all_that_have_a_target_or_those_asked_for() {
        let all = ["gateway", "gateway-direct", "pooler", "postgres"];
        let names = ["gateway+pooler", "gateway+direct", "pooler", "direct"].map(String::from);
        assert_eq!(chosen(&[], &all).unwrap(), names);
        assert_eq!(chosen(&[], &["postgres", "pooler"]).unwrap(), ["pooler", "direct"]);
        assert_eq!(chosen(&["postgres", "gateway"], &all).unwrap(), ["direct", "gateway+pooler"]);
        assert_eq!(chosen(&["pooler", "pooler"], &all).unwrap(), ["pooler", "pooler#2"]);
        let thrice = chosen(&["pooler", "direct", "pooler", "pooler"], &all).unwrap();
        assert_eq!(thrice, ["pooler", "direct", "pooler#2", "pooler#3"]);
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        let error = chosen(&["pooler", "direct"], &["pooler"]).unwrap_err();
        assert_eq!(error, "--arms asks for direct, and the scenario file has no target postgres");
        assert!(chosen(&[], &["pooler"]).unwrap_err().contains("pooler,pooler"));
        assert!(parse("pgbouncer").unwrap_err().contains("gateway+direct"));
    }

    #[test]
    fn a_layer_lies_between_two_arms_and_none_between_an_arm_and_itself() {
        let kinds = |names: &[&str]| {
            let asked: Vec<_> = names.iter().map(|name| parse(name).unwrap()).collect();
            choose(&asked, |_| true).unwrap()
        };
        let all = kinds(&[]);
        let found = pairs(&all);
        let layers: Vec<_> =
            found.iter().map(|pair| (pair.layer.unwrap(), &pair.given[..])).collect();
        let expected: [(&str, &[&str]); 4] =
            [("gateway", &["pooler"]), ("gateway", &[]), ("pooler", &["gateway"]), ("pooler", &[])];
        assert_eq!(layers, expected);
        assert_eq!(square(&all), Some([0, 1, 2, 3]));

        let twice = kinds(&["pooler", "direct", "pooler"]);
        let pooler = Pair { layer: Some("pooler"), given: vec![], with: 0, without: 1 };
        let none = Pair { layer: None, given: vec!["pooler"], with: 2, without: 0 };
        assert_eq!(pairs(&twice), [pooler, none]);
        assert_eq!(square(&twice), None);
    }
}
