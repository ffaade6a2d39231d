//! When a closed loop's virtual users start and go.

use crate::{Load, Nanos};

/// From now on there are so many virtual users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// In ns after the load's start.
    pub(crate) at_ns: Nanos,
    /// How many, over all workers.
    pub(crate) vus: u32,
}

/// How the number of virtual users changes, in order of time: where a ramp's line comes to a whole
/// number (as in k6). An open loop has its pre-allocated users from the start on.
pub(crate) fn steps(load: &Load) -> Vec<Step> {
    let Load::RampingVus { start_vus, stages, .. } = load else {
        return vec![Step { at_ns: 0, vus: load.pre_allocated_vus() }];
    };
    let mut steps = vec![Step { at_ns: 0, vus: *start_vus }];
    let (mut start_ns, mut from) = (0, *start_vus);
    for stage in &**stages {
        let to = stage.target as u32;
        let change = from.abs_diff(to);
        if stage.duration_ns == 0 && change > 0 {
            steps.push(Step { at_ns: start_ns, vus: to });
        } else {
            steps.extend((1..=change).map(|done| Step {
                at_ns: start_ns + part(stage.duration_ns, done, change),
                vus: if to > from { from + done } else { from - done },
            }));
        }
        start_ns += stage.duration_ns;
        from = to;
    }
    steps
}

fn part(whole: Nanos, numerator: u32, denominator: u32) -> Nanos {
    (u128::from(whole) * u128::from(numerator) / u128::from(denominator)) as Nanos
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SECOND, Stage};

    fn ramp(start_vus: u32, stages: &[(u64, u32)]) -> Vec<(Nanos, u32)> {
        let stage = |(seconds, target): &(u64, u32)| Stage {
            duration_ns: seconds * SECOND,
            target: f64::from(*target),
        };
        let stages = stages.iter().map(stage).collect();
        let load = Load::RampingVus { start_vus, stages, graceful_ramp_down_ns: 0 };
        steps(&load).iter().map(|step| (step.at_ns, step.vus)).collect()
    }

    #[test]
    fn users_start_where_the_line_comes_up_to_them_and_go_where_it_comes_down_to_the_one_before() {
        assert_eq!(
            ramp(0, &[(2, 2), (5, 2), (2, 1)]),
            [(0, 0), (SECOND, 1), (2 * SECOND, 2), (9 * SECOND, 1)]
        );
    }

    #[test]
    fn a_stage_of_no_time_is_a_jump_and_the_end_of_a_ramp_is_reached() {
        let steps = ramp(5, &[(0, 500), (3, 0)]);
        assert_eq!(steps[..2], [(0, 5), (0, 500)]);
        assert_eq!(steps.last(), Some(&(3 * SECOND, 0)));
        assert_eq!(steps.len(), 502);
    }
}
