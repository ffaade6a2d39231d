//! A run that can't be trusted ends with a code of its own, and its results are kept.

use poolbench_tests::Stack;
use serde_json::Value;

/// Far more is asked for than one connection can carry, or the statements end before they can be
/// cancelled.
const INVALID: [&[&str]; 3] = [
    &["churn", "--rate=50000", "--connections=1", "--duration=200ms", "--warm-up=0s"],
    &["cancel", "--length=1ms", "--after=500ms", "--vus=1", "--duration=200ms"],
    &["limit", "--step=1000:50000", "--step-duration=200ms", "--after=200ms", "--connections=1"],
];

#[test]
fn an_invalid_run_ends_with_111_and_its_results_are_kept() {
    let stack = Stack::up(&[]);
    for arguments in INVALID {
        let folder = stack.home.path().join(arguments[0]);
        let out = format!("--out={}", folder.display());
        let ended = stack.home.run(&[arguments, &["--target=pooler", &out]].concat());
        assert_eq!(ended.code, 111, "{arguments:?}: {ended:?}");
        let kept = std::fs::read_to_string(folder.join("summary.json")).expect("it is kept");
        let summary: Value = serde_json::from_str(&kept).expect("JSON");
        assert_eq!(summary["valid"], "invalid", "{arguments:?}");
        let report = std::fs::read_to_string(folder.join("report.txt")).expect("it is kept");
        let reasons = summary["reasons"].as_array().expect("reasons").iter();
        for reason in reasons.filter_map(Value::as_str) {
            assert!(report.contains(reason), "{arguments:?}: {report}");
        }
    }
}
