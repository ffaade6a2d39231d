//! The way to the targets: whether there is one, and what is in it that should not be.

use super::Finding;
use super::facts::{Facts, Process, TargetFacts};

/// What stands between us and the targets.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let each = facts.targets.iter().flat_map(|(name, target)| {
        [unreachable(name, target), unasked(name, target), tunnel(name, target)]
    });
    each.flatten().collect()
}

fn unreachable(name: &str, target: &TargetFacts) -> Option<Finding> {
    let problem = target.reached.as_ref()?.as_ref().err()?;
    Some(Finding::problem(
        "unreachable",
        format!("target {name} ({}): {problem}", target.place),
        "a run on it can't begin",
        format!("is it running, and is its address in targets.{name} right?"),
    ))
}

/// A console or an observer that does not answer.
fn unasked(name: &str, target: &TargetFacts) -> Option<Finding> {
    let pooler = target.pooler.as_ref().and_then(|facts| facts.as_ref().err());
    let server = target.server.as_ref().and_then(|facts| facts.as_ref().err());
    let problem = pooler.or(server)?;
    // The text names the place and the remedy itself.
    let (problem, remedy) = problem.split_once("; ").unwrap_or((problem, "see its log"));
    Some(Finding::warning(
        "not-asked",
        format!("target {name}: {problem}"),
        "its limits and settings are unknown: they were not compared with the load",
        remedy,
    ))
}

/// Programs that pass bytes on, and what they are for people. Each copies every byte twice.
const TUNNELS: [(&str, &str); 6] = [
    ("kubectl", "kubectl port-forward"),
    ("oc", "oc port-forward"),
    ("k9s", "a port-forward of k9s"),
    ("ssh", "an ssh tunnel"),
    ("docker-proxy", "Docker's userland proxy"),
    ("rootlessport", "a port of a rootless container"),
];

fn tunnel(name: &str, target: &TargetFacts) -> Option<Finding> {
    let Process { pid, program, arguments, .. } = target.listener.as_ref()?;
    let (program, words) = TUNNELS.iter().find(|(known, _)| known == program)?;
    let seen = format!("target {name} ({}) is reached through {words}, pid {pid}", target.place);
    match *program {
        "kubectl" | "oc" | "k9s" => Some(Finding::problem(
            "port-forward",
            match arguments.iter().position(|word| word == "port-forward") {
                Some(at) => format!("{seen}: {}", arguments[at..].join(" ")),
                None => seen,
            },
            "all connections share one stream through the API server: it is what would be measured",
            "run poolbench in the cluster, or give the service a NodePort or a LoadBalancer",
        )),
        "ssh" => Some(Finding::warning(
            "tunnel",
            seen,
            "all connections share one encrypted stream, and wait for each other in it",
            "run poolbench on the other side, or reach the port directly",
        )),
        _ => Some(Finding::warning(
            "tunnel",
            seen,
            "it copies every byte in user space, on a core of this machine",
            "reach the container by its own address, or give it the host's network",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::examples::facts;
    use super::*;

    fn behind(program: &str, arguments: &[&str]) -> Vec<Finding> {
        let mut facts = facts();
        facts.targets.get_mut("gateway").unwrap().listener = Some(Process {
            pid: 4711,
            program: program.into(),
            arguments: arguments.iter().map(|word| (*word).into()).collect(),
            cores: None,
        });
        findings(&facts)
    }

    #[test]
    fn servers_themselves_are_no_tunnel() {
        assert_eq!(findings(&facts()), []);
        assert_eq!(behind("nova-gateway", &[]), []);
        assert_eq!(behind("sshd", &[]), []);
        assert_eq!(behind("kubelet", &[]), []);
    }

    #[test]
    fn a_port_forward_is_a_problem_named_with_its_command() {
        let arguments = ["-n", "shop", "port-forward", "svc/gateway", "4000:80"];
        let finding = behind("kubectl", &arguments).remove(0);
        assert_eq!((finding.name, finding.level), ("port-forward", Level::Problem));
        assert!(
            finding
                .seen
                .ends_with("kubectl port-forward, pid 4711: port-forward svc/gateway 4000:80"),
            "{}",
            finding.seen
        );
    }

    #[test]
    fn other_tunnels_are_warnings() {
        for (program, words) in [("ssh", "an ssh tunnel"), ("docker-proxy", "userland proxy")] {
            let finding = behind(program, &[]).remove(0);
            assert_eq!((finding.name, finding.level), ("tunnel", Level::Warning));
            assert!(finding.seen.contains(words), "{}", finding.seen);
        }
    }

    #[test]
    fn a_target_that_is_not_there_is_a_problem_and_a_silent_console_a_warning() {
        let mut facts = facts();
        let gateway = facts.targets.get_mut("gateway").unwrap();
        gateway.reached = Some(Err("Connection refused".into()));
        let pooler = facts.targets.get_mut("pooler").unwrap();
        pooler.pooler =
            Some(Err("the pooler's console at a:1 does not answer: no; check it".into()));
        let found = findings(&facts);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].name, found[0].level), ("unreachable", Level::Problem));
        assert!(found[0].seen.contains("Connection refused"), "{}", found[0].seen);
        assert_eq!((found[1].name, found[1].level), ("not-asked", Level::Warning));
        assert!(found[1].seen.ends_with("does not answer: no"), "{}", found[1].seen);
        assert_eq!(found[1].remedy, "check it");
    }
}
