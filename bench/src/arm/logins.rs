//! How each arm's target asked who logs in, told and compared.

use serde::{Serialize, Serializer};
use wire::postgres::Method;

use super::ArmSummary;

/// How an arm's connections logged in: each way once. Empty over HTTP, and before they are open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Logins(pub(crate) Vec<Method>);

/// A list of names, as in `scram-sha-256`.
impl Serialize for Logins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|method| method.name()))
    }
}

impl Logins {
    fn shown(&self) -> String {
        self.0.iter().map(|method| method.name()).collect::<Vec<_>>().join(" and ")
    }
}

/// One line where arms differ in it: a login with SCRAM costs thousands of hashes, one with md5 or a
/// certificate none or two.
pub(crate) fn difference<'a>(arms: impl Iterator<Item = &'a ArmSummary>) -> Option<String> {
    let arms: Vec<_> = arms.filter(|arm| !arm.logins.0.is_empty()).collect();
    let first = arms.first()?;
    let shown = arms.iter().map(|arm| format!("{} {}", arm.name, arm.logins.shown()));
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
    use crate::arm::{ARMS, Arm};

    #[test]
    fn arms_that_log_in_differently_are_named() {
        let told = |logins: [&[Method]; 4]| {
            let arms = ARMS.into_iter().zip(logins).map(|(kind, logins)| {
                let mut arm = Arm::new(&kind, None);
                arm.logins = Logins(logins.to_vec());
                ArmSummary::new(&arm, &[])
            });
            difference(arms.collect::<Vec<_>>().iter())
        };
        let (scram, md5) = ([Method::ScramSha256], [Method::Md5]);
        assert_eq!(told([&[], &[], &scram, &scram]), None, "HTTP has no login");
        assert_eq!(
            told([&[], &[], &scram, &md5]).unwrap(),
            "they log in differently (pooler scram-sha-256, direct md5): their connection latencies \
             can't be compared"
        );
        let json = serde_json::to_string(&Logins(vec![Method::Unasked, Method::ScramSha256]));
        assert_eq!(json.unwrap(), r#"["none","scram-sha-256"]"#);
    }
}
