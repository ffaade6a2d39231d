//! `histograms.csv`: every latency that was measured, as a table that merges with others by adding
//! counts.

use std::io;

use super::summary::Summary;

/// The whole file: a line for each value that occurred, in ns, exact to 0.1 %.
pub(crate) fn histograms(summary: &Summary) -> io::Result<String> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["target", "script", "histogram", "ns", "count"])?;
    for arm in &summary.arms {
        for (script, recording) in arm.scripts.iter().zip(&arm.recording.operations) {
            let histograms = [
                ("response", &recording.response),
                ("service", &recording.service),
                ("lateness", &recording.lateness),
                ("failed", &recording.failed),
            ];
            for (name, histogram) in histograms {
                for value in histogram.iter_recorded() {
                    let (ns, count) = (value.value_iterated_to(), value.count_at_value());
                    let line = [&*arm.arm.name, &*script.name, name];
                    let numbers = [ns.to_string(), count.to_string()];
                    table.write_record(line.into_iter().chain(numbers.iter().map(|n| &**n)))?;
                }
            }
        }
    }
    let bytes = table.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transaction_is_counted_once_in_each_histogram_that_it_belongs_to() {
        let summary = Summary::example(&["direct", "pooler"]);
        let text = histograms(&summary).unwrap();
        assert_eq!(text.lines().next(), Some("target,script,histogram,ns,count"));
        for arm in &summary.arms {
            for script in &arm.scripts {
                let counted = |histogram: &str| -> u64 {
                    let begin = format!("{},{},{histogram},", arm.arm.name, script.name);
                    let own = text.lines().filter_map(|line| line.strip_prefix(&begin));
                    own.map(|rest| rest.split(',').next_back().unwrap().parse::<u64>().unwrap())
                        .sum()
                };
                let (done, failed) = (script.all.transactions, script.all.failed);
                let all = ["response", "service", "failed", "lateness"].map(counted);
                assert_eq!(all, [done, done, failed, done + failed]);
            }
        }
    }
}
