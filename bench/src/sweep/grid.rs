//! Which cells there are, and in which order they are measured.

use std::str::FromStr;

use clap::ValueEnum;
use engine::Random;
use serde::{Deserialize, Serialize};
use wire::postgres::Protocol;

/// PgBouncer's `pool_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// A server connection goes to another client after each transaction
    Transaction,
    /// When the client disconnects
    Session,
    /// After each statement
    Statement,
}

impl Mode {
    /// As PgBouncer writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Session => "session",
            Self::Statement => "statement",
        }
    }

    /// By the name that PgBouncer has for it.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Transaction, Self::Session, Self::Statement].into_iter().find(|m| m.name() == name)
    }
}

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WireProtocol {
    /// As one text
    Simple,
    /// With parameters apart, unnamed
    Extended,
    /// Prepared once for each connection, by name
    Prepared,
}

impl WireProtocol {
    /// Its name, as in scenario files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

impl From<WireProtocol> for Protocol {
    fn from(protocol: WireProtocol) -> Self {
        match protocol {
            WireProtocol::Simple => Self::Simple,
            WireProtocol::Extended => Self::Extended,
            WireProtocol::Prepared => Self::Prepared,
        }
    }
}

/// The settings of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) clients: u32,
    /// `None` without a pool.
    pub(crate) pool_size: Option<u32>,
    /// `None` without a pool.
    pub(crate) pool_mode: Option<Mode>,
    pub(crate) protocol: WireProtocol,
    /// Requests a second; `None` for clients that never pause.
    pub(crate) rate: Option<f64>,
    /// PgBouncer's processes behind one port, which share the pool's size out among them; `None`
    /// where that was not varied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) poolers: Option<u32>,
}

/// Every combination of these is a cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grid {
    pub(crate) clients: Vec<u32>,
    pub(crate) pool_sizes: Vec<u32>,
    pub(crate) modes: Vec<Mode>,
    pub(crate) protocols: Vec<WireProtocol>,
    /// Empty for clients that never pause.
    pub(crate) rates: Vec<f64>,
    /// Whether there are cells without a pool too.
    pub(crate) has_direct: bool,
}

/// A cell in its place in the order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) setting: Setting,
    /// Whether it is the reference point, measured again and again to see drift.
    pub(crate) is_reference: bool,
}

impl Grid {
    /// Every cell once.
    fn settings(&self) -> Vec<Setting> {
        let pools = self
            .pool_sizes
            .iter()
            .flat_map(|size| self.modes.iter().map(|mode| (Some(*size), Some(*mode))));
        let pools: Vec<_> = pools.chain(self.has_direct.then_some((None, None))).collect();
        let rates: Vec<_> = match self.rates[..] {
            [] => vec![None],
            ref rates => rates.iter().copied().map(Some).collect(),
        };
        let mut settings = Vec::new();
        for protocol in &self.protocols {
            for (pool_size, pool_mode) in &pools {
                for rate in &rates {
                    settings.extend(self.clients.iter().map(|clients| Setting {
                        clients: *clients,
                        pool_size: *pool_size,
                        pool_mode: *pool_mode,
                        protocol: *protocol,
                        rate: *rate,
                        poolers: None,
                    }));
                }
            }
        }
        settings
    }

    /// The point in the middle.
    pub(crate) fn reference(&self) -> Setting {
        let middle = |values: &[u32]| values[values.len() / 2];
        Setting {
            clients: middle(&self.clients),
            pool_size: Some(middle(&self.pool_sizes)),
            pool_mode: Some(self.modes[0]),
            protocol: self.protocols[0],
            rate: self.rates.first().copied(),
            poolers: None,
        }
    }

    /// All cells in an order drawn from `seed` (Fisher and Yates), so that drift is not taken for
    /// the effect of a setting; the reference point first, last, and after every so many cells.
    pub(crate) fn order(&self, reference_every: usize, seed: u64) -> Vec<Place> {
        let mut settings = self.settings();
        let mut random = Random::new(seed, 0);
        for last in (1..settings.len()).rev() {
            settings.swap(last, random.below(last as u64 + 1) as usize);
        }
        let reference = Place { setting: self.reference(), is_reference: true };
        let mut order = vec![reference];
        for chunk in settings.chunks(reference_every.max(1)) {
            order.extend(chunk.iter().map(|cell| Place { setting: *cell, is_reference: false }));
            order.push(reference);
        }
        order
    }
}

/// A list of whole numbers on the command line: `1,10,50`, or `2-32` for doublings from 2 to 32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Steps(pub(crate) Vec<u32>);

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| match text.trim().parse::<u32>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{text} is no number above 0; write 1,10,50, or 2-32 for doublings")),
        };
        let mut steps = Vec::new();
        for part in text.split(',') {
            let Some((first, last)) = part.split_once('-') else {
                steps.push(number(part)?);
                continue;
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("{part} goes down: write the smaller number first"));
            }
            let doublings = std::iter::successors(Some(first), |step| step.checked_mul(2));
            steps.extend(doublings.take_while(|step| *step < last).chain([last]));
        }
        steps.sort_unstable();
        steps.dedup();
        Ok(Self(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid {
            clients: vec![1, 4, 16],
            pool_sizes: vec![1, 2, 4],
            modes: vec![Mode::Transaction, Mode::Session],
            protocols: vec![WireProtocol::Simple],
            rates: Vec::new(),
            has_direct: true,
        }
    }

    #[test]
    fn every_cell_comes_once_in_an_order_of_the_seed_with_the_reference_between() {
        let order = grid().order(5, 1);
        let cells: Vec<_> = order.iter().filter(|place| !place.is_reference).collect();
        assert_eq!(cells.len(), 3 * (3 * 2 + 1));
        for (number, cell) in cells.iter().enumerate() {
            assert!(cells[..number].iter().all(|other| other.setting != cell.setting));
        }
        let references: Vec<_> =
            (0..order.len()).filter(|place| order[*place].is_reference).collect();
        assert_eq!(references, [0, 6, 12, 18, 24, 26]);
        assert_eq!(order, grid().order(5, 1));
        assert_ne!(order, grid().order(5, 2));
        assert_eq!(order[0].setting.pool_size, Some(2));
    }

    #[test]
    fn steps_are_lists_and_doublings() {
        let steps = |text: &str| text.parse::<Steps>().map(|steps| steps.0);
        assert_eq!(steps("50,1,10"), Ok(vec![1, 10, 50]));
        assert_eq!(steps("2-20"), Ok(vec![2, 4, 8, 16, 20]));
        assert_eq!(steps("1,4-8"), Ok(vec![1, 4, 8]));
        assert!(steps("0").unwrap_err().contains("above 0"));
        assert!(steps("8-2").unwrap_err().contains("goes down"));
        assert!(steps("").is_err());
    }
}
