//! How each arm's target asked who logs in, told and compared.

use serde::{Serialize, Serializer};
use wire::postgres::Method;

use super::Arm;

/// How an arm's connections logged in: each way once. Empty over HTTP, and before they are open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Logins(pub(crate) Vec<Method>);

/// A list of names, as in `scram-sha-256`.
impl Serialize for Logins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names: Vec<_> = self.0.iter().map(|method| method.name()).collect();
        names.dedup();
        serializer.collect_seq(names)
    }
}

impl Logins {
    /// How often SCRAM had the password hashed, each count once.
    pub(crate) fn iterations(&self) -> Vec<u32> {
        let count = |method: &Method| match method {
            Method::ScramSha256 { iterations } => Some(*iterations),
            Method::Unasked | Method::Password | Method::Md5 => None,
        };
        self.0.iter().filter_map(count).collect()
    }

    fn shown(&self) -> String {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    }
}

/// Where arms differ in it: a login with SCRAM costs thousands of hashes, one with md5 or a
/// certificate none or two.
pub(crate) fn difference(arms: &[Arm]) -> Option<String> {
    let arms: Vec<_> = arms.iter().filter(|arm| !arm.logins.0.is_empty()).collect();
    let first = arms.first()?;
    let shown = arms.iter().map(|arm| format!("{} {}", arm.kind.name, arm.logins.shown()));
    arms.iter().any(|arm| arm.logins != first.logins).then(|| {
        format!(
            "they log in differently ({}): their connection latencies can't be compared",
            shown.collect::<Vec<_>>().join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::ARMS;

    #[test]
    fn arms_that_log_in_differently_are_named() {
        let told = |logins: [&[Method]; 4]| {
            let arms = ARMS.into_iter().zip(logins).map(|(kind, logins)| {
                let mut arm = Arm::new(&kind, None);
                arm.logins = Logins(logins.to_vec());
                arm
            });
            difference(&arms.collect::<Vec<_>>())
        };
        let scram = |iterations| [Method::ScramSha256 { iterations }];
        assert_eq!(told([&[], &[], &scram(4096), &scram(4096)]), None, "HTTP has no login");
        assert_eq!(
            told([&[], &[], &scram(4096), &[Method::Md5]]).unwrap(),
            "they log in differently (pooler scram-sha-256 with 4096 iterations, direct md5): their \
             connection latencies can't be compared"
        );
        let words = told([&[], &[], &scram(4096), &scram(10_000)]).unwrap();
        assert!(words.contains("direct scram-sha-256 with 10000 iterations"), "{words}");
    }

    #[test]
    fn methods_have_names_and_scram_its_iterations() {
        let scram = |iterations| Method::ScramSha256 { iterations };
        let logins = Logins(vec![Method::Unasked, scram(4096), scram(10_000)]);
        assert_eq!(serde_json::to_string(&logins).unwrap(), r#"["none","scram-sha-256"]"#);
        assert_eq!(logins.iterations(), [4096, 10_000]);
    }
}
