//! What the generator can do at most on this machine: a closed loop on a server that does nothing.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::driver::Options;
use engine::null_server::{self, NullServer, Speaks};
use engine::{Fleet, Load, Nanos, SECOND};

use super::super::facts::Ceiling;
use crate::generator::{Generator, GeneratorOptions, Work};

/// As many as make the most of each turn of a driver.
const CONNECTIONS: u32 = 64;
const WARM_UP_NS: Nanos = SECOND / 5;
const MEASURED_NS: Nanos = SECOND;

/// Of all workers, from what one comes to; nothing where it could not be measured.
pub(super) fn measure(options: &GeneratorOptions) -> Option<Ceiling> {
    let generator = options.decide().ok()?;
    let rate = |speaks| one(&generator, speaks);
    Some(Ceiling {
        workers: generator.cores.len(),
        http: rate(Speaks::Http)?,
        postgres: rate(Speaks::Postgres)?,
    })
}

fn one(generator: &Generator, speaks: Speaks) -> Option<f64> {
    let usable = core_affinity::get_core_ids()?;
    let server_core = usable.into_iter().find(|core| !generator.cores.contains(core));
    let server = NullServer::start(speaks, server_core).ok()?;
    let target = null_server::target(server.address(), speaks, CONNECTIONS);
    // What is not work would count as such.
    let options = Options { spin_ns: 0, ..generator.options.clone() };
    let cores = &generator.cores[..1];
    let mut fleet = Fleet::start(vec![target], cores, &options, Arc::new(AtomicBool::new(false)));
    fleet.open().ok()?;
    let mut run = |duration_ns| {
        let load = Load::ConstantVus { vus: CONNECTIONS, duration_ns };
        let phase = null_server::phase(null_server::stream(load));
        fleet.run(&phase, |_| ControlFlow::Continue(())).ok()
    };
    run(WARM_UP_NS)?;
    let mut work = Work::default();
    work.add("the null server", &run(MEASURED_NS)?, None, 1);
    Some(work.ceiling() * generator.cores.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_is_found_for_both_protocols() {
        let ceiling = measure(&GeneratorOptions::default()).unwrap();
        assert!(ceiling.workers >= 1);
        assert!(ceiling.http > 100.0 && ceiling.postgres > 100.0, "{ceiling:?}");
    }
}
