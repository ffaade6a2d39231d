//! What opening a target's connections came to.

use hdrhistogram::Histogram;
use wire::{
    Failure, Outcome,
    postgres::{Method, Parameters},
    tls::Security,
};

use crate::recording::histogram;

/// What opening all connections came to, per target.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Connections that are ready.
    pub connections: u64,
    /// From the first packet to the end of the login, in ns.
    pub connect: Histogram<u64>,
    /// What was negotiated, each of it once; `None` stands for connections without TLS.
    pub security: Vec<Option<Security>>,
    /// How the server asked who logs in, each way once; empty where the protocol has no login.
    pub logins: Vec<Method>,
    /// The settings that the server told of, each set of them once, and no more than a few sets;
    /// empty where the protocol has none.
    pub parameters: Vec<Parameters>,
}

/// Further sets of settings say nothing new: sessions differ.
const PARAMETERS_MAX: usize = 8;

impl Default for Opened {
    fn default() -> Self {
        Self {
            connections: 0,
            connect: histogram(),
            security: Vec::new(),
            logins: Vec::new(),
            parameters: Vec::new(),
        }
    }
}

impl Opened {
    /// Adds another worker's connections to the same target.
    pub fn merge(&mut self, other: &Self) {
        self.connections += other.connections;
        self.connect.add(&other.connect).expect("all histograms share their bounds");
        other.security.iter().cloned().for_each(|security| self.add_security(security));
        other.logins.iter().for_each(|method| self.add_login(Some(*method)));
        other.parameters.iter().cloned().for_each(|set| self.add_parameters(Some(set)));
    }

    pub(crate) fn add_security(&mut self, security: Option<Security>) {
        if !self.security.contains(&security) {
            self.security.push(security);
        }
    }

    pub(crate) fn add_login(&mut self, method: Option<Method>) {
        self.logins.extend(method.filter(|method| !self.logins.contains(method)));
    }

    pub(crate) fn add_parameters(&mut self, parameters: Option<Parameters>) {
        let has_room = self.parameters.len() < PARAMETERS_MAX;
        let is_new = |set: &Parameters| has_room && !self.parameters.contains(set);
        self.parameters.extend(parameters.filter(is_new));
    }
}

/// A target that could not be opened.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Which target.
    pub target: usize,
    /// Its class.
    pub outcome: Outcome,
    /// The peer's words, or the system's.
    pub failure: Failure,
}
