//! What was negotiated with each arm's target, told and compared.

use serde::{Serialize, Serializer};
use wire::tls::Security;

use super::ArmSummary;

/// What an arm's connections have in common, or don't: each kind once, `None` for those without
/// TLS. Empty before they are open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Securities(pub(crate) Vec<Option<Security>>);

#[derive(Serialize)]
struct Shown<'a> {
    version: &'a str,
    cipher: &'a str,
    channel_binding: bool,
}

/// A list of objects, with null for connections without TLS.
impl Serialize for Securities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|security| {
            security.as_ref().map(|security| Shown {
                version: &security.version,
                cipher: &security.cipher,
                channel_binding: security.channel_binding,
            })
        }))
    }
}

impl Securities {
    fn is_secured(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    fn shown(&self) -> String {
        let one = |security: &Option<Security>| {
            security.as_ref().map_or("none".to_owned(), ToString::to_string)
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(" and ")
    }
}

/// One line for a table's heading, where TLS is on anywhere.
pub(crate) fn heading(arms: &[ArmSummary]) -> Option<String> {
    arms.iter().any(|arm| arm.tls.is_secured()).then(|| {
        let mut kinds: Vec<(String, Vec<&str>)> = Vec::new();
        for arm in arms {
            let shown = arm.tls.shown();
            match kinds.iter_mut().find(|(kind, _)| *kind == shown) {
                Some((_, names)) => names.push(&arm.name),
                None => kinds.push((shown, vec![&arm.name])),
            }
        }
        let one = |(kind, names): &(String, Vec<&str>)| format!("{} {kind}", names.join(", "));
        format!("TLS: {}", kinds.iter().map(one).collect::<Vec<_>>().join("; "))
    })
}

/// Where two arms that are compared differ in TLS, which names the difference. A login's channel
/// binding costs a request nothing.
pub(crate) fn difference(one: &super::Arm, other: &super::Arm) -> Option<String> {
    let request = |arm: &super::Arm| {
        let kinds = arm.security.0.iter();
        kinds
            .map(|security| security.as_ref().map(|one| (one.version.clone(), one.cipher.clone())))
            .collect::<Vec<_>>()
    };
    let speaks_http = |arm: &super::Arm| arm.kind.has("gateway");
    let is_compared = speaks_http(one) == speaks_http(other);
    (is_compared && request(one) != request(other)).then(|| {
        format!(
            "{} and {} differ in TLS ({}, {}): what lies between them holds its cost; secure both \
             alike (sslmode, ssl_min_protocol_version) to compare them",
            one.kind.name,
            other.kind.name,
            one.security.shown(),
            other.security.shown()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::{ARMS, Arm};

    fn security(channel_binding: bool) -> Option<Security> {
        let (version, cipher) = ("TLSv1.3".into(), "TLS_AES_256_GCM_SHA384".into());
        Some(Security { version, cipher, channel_binding })
    }

    fn arms(securities: [Option<Security>; 4]) -> Vec<Arm> {
        let arm = |(kind, security)| {
            let mut arm = Arm::new(kind, None);
            arm.security = Securities(vec![security]);
            arm
        };
        ARMS.iter().zip(securities).map(arm).collect()
    }

    fn told(securities: [Option<Security>; 4]) -> Option<String> {
        let summaries: Vec<_> =
            arms(securities).iter().map(|arm| ArmSummary::new(arm, &[])).collect();
        heading(&summaries)
    }

    #[test]
    fn what_was_negotiated_is_one_line_and_a_list() {
        assert_eq!(told([None, None, None, None]), None);
        let line = told([None, None, security(false), security(true)]).unwrap();
        let expected = "TLS: gateway+pooler, gateway+direct none; \
                        pooler TLSv1.3 TLS_AES_256_GCM_SHA384; \
                        direct TLSv1.3 TLS_AES_256_GCM_SHA384 with channel binding";
        assert_eq!(line, expected);
        let json = serde_json::to_string(&Securities(vec![None, security(true)])).unwrap();
        let object =
            r#"{"version":"TLSv1.3","cipher":"TLS_AES_256_GCM_SHA384","channel_binding":true}"#;
        assert_eq!(json, format!("[null,{object}]"));
    }

    #[test]
    fn arms_of_the_same_protocol_are_compared() {
        let arms = arms([None, None, security(false), None]);
        assert_eq!(difference(&arms[0], &arms[1]), None);
        assert_eq!(difference(&arms[0], &arms[2]), None, "HTTP and Postgres");
        let words = difference(&arms[2], &arms[3]).unwrap();
        assert!(words.starts_with("pooler and direct differ in TLS (TLSv1.3"), "{words}");
        let bound = super::tests::arms([None, None, security(false), security(true)]);
        assert_eq!(difference(&bound[2], &bound[3]), None, "only the login differs");
    }
}
