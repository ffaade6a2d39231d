//! The passwords of one stack. They live in files that only the user can read, and in no output.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::StackError;

/// Everything secret about a stack: new for each, thrown away with it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Secrets {
    /// Postgres' superuser.
    pub(crate) postgres: String,
    /// The role that the load and the gateways use.
    pub(crate) nova: String,
    /// The role that only watches.
    pub(crate) observer: String,
    /// PgBouncer's console.
    pub(crate) admin: String,
    /// What the gateways sign and check tokens with.
    pub(crate) jwt: String,
}

impl Secrets {
    /// New ones, 128 bits each.
    pub(crate) fn random() -> Result<Self, StackError> {
        Ok(Self {
            postgres: random_hex::<16>()?,
            nova: random_hex::<16>()?,
            observer: random_hex::<16>()?,
            admin: random_hex::<16>()?,
            jwt: random_hex::<32>()?,
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// `N` random bytes in hexadecimal, which needs no quoting anywhere.
pub(crate) fn random_hex<const N: usize>() -> Result<String, StackError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(StackError::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_do_not_show() {
        let secrets = Secrets::random().unwrap();
        assert_ne!(secrets.nova, secrets.admin);
        assert_eq!(secrets.nova.len(), 32);
        assert!(!format!("{secrets:?}").contains(&secrets.nova));
    }
}
