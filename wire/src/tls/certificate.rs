//! What libpq reads in a server's certificate beyond what a TLS library checks.

use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use x509_cert::{
    Certificate,
    der::{Decode as _, asn1::ObjectIdentifier},
    ext::pkix::{SubjectAltName, name::GeneralName},
    spki::{AlgorithmIdentifier, AlgorithmIdentifierRef},
};

use rustls::pki_types::UnixTime;

/// The hash of a certificate that binds SCRAM to the TLS connection (RFC 5929, section 4.1): by
/// the hash function of its signature, or SHA-256 where that is MD5 or SHA-1. None where the
/// signature has no hash function of its own (Ed25519), for which the RFC has no rule.
pub fn end_point_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    Some(match hash_of(parsed.signature_algorithm())? {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

type Algorithm = AlgorithmIdentifier<x509_cert::der::Any>;

/// RFC 8017, appendix C (RSA), and RFC 5758, section 3.2 (ECDSA).
fn hash_of(signature: &Algorithm) -> Option<Hash> {
    match signature.oid.to_string().as_str() {
        // With MD5, and with SHA-1.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" => Some(Hash::Sha256),
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => Some(Hash::Sha224),
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => Some(Hash::Sha256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(Hash::Sha384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(Hash::Sha512),
        // RSASSA-PSS names its hash in a parameter.
        "1.2.840.113549.1.1.10" => pss_hash(signature),
        _ => None,
    }
}

/// RFC 4055, section 3.1: the hash is the parameter tagged 0, SHA-1 where there is none.
fn pss_hash(signature: &Algorithm) -> Option<Hash> {
    let parameters = signature.parameters.as_ref()?.value();
    let mut reader = x509_cert::der::SliceReader::new(parameters).ok()?;
    if parameters.first() != Some(&0xa0) {
        return Some(Hash::Sha256);
    }
    let tagged = x509_cert::der::asn1::AnyRef::decode(&mut reader).ok()?;
    let algorithm = AlgorithmIdentifierRef::from_der(tagged.value()).ok()?;
    hash_function(algorithm.oid)
}

/// RFC 4055, section 2.1.
fn hash_function(oid: ObjectIdentifier) -> Option<Hash> {
    match oid.to_string().as_str() {
        "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Some(Hash::Sha256),
        "2.16.840.1.101.3.4.2.2" => Some(Hash::Sha384),
        "2.16.840.1.101.3.4.2.3" => Some(Hash::Sha512),
        "2.16.840.1.101.3.4.2.4" => Some(Hash::Sha224),
        _ => None,
    }
}

/// Whether `now` lies in the certificate's time; None where it can't be read.
pub(super) fn validity(certificate: &[u8], now: UnixTime) -> Option<Validity> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let validity = parsed.tbs_certificate().validity();
    let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
    Some(if now.as_secs() < seconds(validity.not_before) {
        Validity::NotYet
    } else if now.as_secs() > seconds(validity.not_after) {
        Validity::Expired
    } else {
        Validity::Valid
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    NotYet,
    Valid,
    Expired,
}

/// Whether the certificate's common name is `host`, and counts: where it has names of its own kind
/// (DNS names or addresses), those alone do (Postgres manual, 34.19.1 "Client Verification of
/// Server Certificates"). A wildcard stands for one label.
pub(super) fn common_name_is(certificate: &[u8], host: &str) -> bool {
    let Ok(parsed) = Certificate::from_der(certificate) else { return false };
    let certificate = parsed.tbs_certificate();
    let names = match certificate.get_extension::<SubjectAltName>() {
        Ok(Some((_, names))) => names.0,
        Ok(None) => Vec::new(),
        Err(_) => return false,
    };
    let is_own_kind =
        |name: &GeneralName| matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_));
    if names.iter().any(is_own_kind) {
        return false;
    }
    match certificate.subject().common_name() {
        Ok(Some(name)) => matches_name(&name.value(), host),
        _ => false,
    }
}

fn matches_name(pattern: &str, host: &str) -> bool {
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    match pattern.strip_prefix("*.") {
        Some(domain) if !is_address => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(domain)),
        _ => pattern.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(
        algorithm: &'static rcgen::SignatureAlgorithm,
        names: &[&str],
        cn: &str,
    ) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, cn);
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_points_hash_is_that_of_the_signature() {
        let p256 = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &["a"], "a");
        assert_eq!(end_point_hash(&p256).unwrap(), Sha256::digest(&p256).to_vec());
        let p384 = certificate(&rcgen::PKCS_ECDSA_P384_SHA384, &["a"], "a");
        assert_eq!(end_point_hash(&p384).unwrap(), Sha384::digest(&p384).to_vec());
        let ed25519 = certificate(&rcgen::PKCS_ED25519, &["a"], "a");
        assert_eq!(end_point_hash(&ed25519), None, "no hash function of its own");
        assert_eq!(end_point_hash(b"no certificate"), None);
    }

    #[test]
    fn the_hash_of_every_signature() {
        let hash = |oid: &str, parameters: Option<&[u8]>| {
            let parameters = parameters.map(|der| x509_cert::der::Any::from_der(der).unwrap());
            hash_of(&AlgorithmIdentifier { oid: ObjectIdentifier::new_unwrap(oid), parameters })
        };
        assert_eq!(hash("1.2.840.113549.1.1.5", None), Some(Hash::Sha256), "SHA-1 counts as 256");
        assert_eq!(hash("1.2.840.113549.1.1.13", None), Some(Hash::Sha512));
        assert_eq!(hash("1.3.101.112", None), None, "Ed25519");
        // RSASSA-PSS: SEQUENCE { [0] { SEQUENCE { OID sha384, NULL } } }, and of nothing.
        let sha384 = [
            0x30, 0x11, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
            0x04, 0x02, 0x02, 0x05, 0x00,
        ];
        assert_eq!(hash("1.2.840.113549.1.1.10", Some(&sha384)), Some(Hash::Sha384));
        assert_eq!(hash("1.2.840.113549.1.1.10", Some(&[0x30, 0])), Some(Hash::Sha256));
    }

    #[test]
    fn the_common_name_counts_where_there_is_no_other() {
        let plain = certificate(&rcgen::PKCS_ED25519, &[], "db.example");
        assert!(common_name_is(&plain, "DB.example"));
        assert!(!common_name_is(&plain, "other.example"));
        let named = certificate(&rcgen::PKCS_ED25519, &["other.example"], "db.example");
        assert!(!common_name_is(&named, "db.example"), "the alternative names rule");
        for (pattern, host, expected) in [
            ("*.example", "db.example", true),
            ("*.example", "a.db.example", false),
            ("*.example", "example", false),
            ("*.0.0.1", "127.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
        ] {
            assert_eq!(matches_name(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn a_certificates_time() {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let der = parameters.self_signed(&key).unwrap().der().to_vec();
        let at = |seconds| validity(&der, UnixTime::since_unix_epoch(seconds)).unwrap();
        let second = std::time::Duration::from_secs;
        assert_eq!(at(second(1_577_836_799)), Validity::NotYet);
        assert_eq!(at(second(1_577_836_800)), Validity::Valid);
        assert_eq!(at(second(1_609_459_201)), Validity::Expired);
    }
}
