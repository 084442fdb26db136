//! The program itself: exit codes, result files, comparison and suite, against stubs in memory.

use std::fs;
use std::process::{Command, Output};

use crate::stub::Plant;
use crate::support::start;

const QUICK: [&str; 5] =
    ["--duration=0.2", "--warmup=0.05", "--body-bytes=100", "--connections=4", "--quiet"];

fn bench(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zaqar-bench"));
    command.args(words).args(QUICK);
    command.output().unwrap()
}

fn url(plant: Plant) -> String {
    format!("http://{}", start(plant))
}

#[test]
fn the_exit_code_tells_passed_from_failed_from_impossible() {
    let honest = bench(&["post", "--url", &url(Plant::Honest)]);
    assert_eq!(honest.status.code(), Some(0), "{honest:?}");
    let losing = bench(&["post", "--url", &url(Plant::Loses)]);
    assert_eq!(losing.status.code(), Some(1), "{losing:?}");
    assert!(String::from_utf8_lossy(&losing.stdout).contains("FAILED"), "{losing:?}");
    let impossible = bench(&["post", "--url", "https://127.0.0.1"]);
    assert_eq!(impossible.status.code(), Some(2), "{impossible:?}");
}

#[test]
fn a_comparison_alternates_and_prints_ratios() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("result.json");
    let (first, second) = (url(Plant::Honest), url(Plant::Honest));
    let output = bench(&[
        "post",
        "--url",
        &first,
        "--compare",
        &second,
        "--rounds=2",
        "--token=secret-token",
        "--json",
        json.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("ratios"), "{output:?}");
    let text = fs::read_to_string(json).unwrap();
    assert!(!text.contains("secret-token"), "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let urls: Vec<_> = report["rounds"].as_array().unwrap().iter().map(|r| &r["url"]).collect();
    assert_eq!(urls, [first.as_str(), &second, &first, &second]);
    let ratio = report["comparison"]["messages_per_s"]["median"].as_f64().unwrap();
    assert!(ratio > 0.0, "{report}");
    assert_eq!(report["rounds"][0]["passed"], true);
    assert!(report["rounds"][0]["latencies"]["post"]["p99_us"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_suite_writes_a_table_and_its_figures() {
    let folder = tempfile::tempdir().unwrap();
    let (json, table) = (folder.path().join("suite.json"), folder.path().join("suite.md"));
    let output = bench(&[
        "suite",
        "--only=post-10-c16,deep",
        "--depth=200",
        "--claims=5",
        "--rounds=2",
        "--no-raw",
        "--url",
        &url(Plant::Honest),
        "--json",
        json.to_str().unwrap(),
        "--markdown",
        table.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = fs::read_to_string(table).unwrap();
    assert!(table.contains("| post-10-c16 | ") && table.contains("| deep | "), "{table}");
    assert!(table.contains("Claim with 200 in flight ahead, over a shallow queue"), "{table}");
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let scenarios = report["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), 2);
    assert!(scenarios.iter().all(|scenario| scenario["rounds"].as_array().unwrap().len() == 2));
}
