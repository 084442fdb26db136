//! Every workload against a stub in memory: an honest one passes, each planted fault is named.

use zaqar_bench::check::Fault;
use zaqar_bench::report::Round;

use crate::stub::Plant;
use crate::support::{round, round_on};

fn failures(round: &Round) -> Vec<Fault> {
    assert!(!round.passed || round.checks.failures(true).is_empty());
    round.checks.failures(true)
}

#[test]
fn an_honest_server_passes_every_workload() {
    let workloads: [&[&str]; 9] = [
        &["post"],
        &["post", "--batch=10"],
        &["post", "--rate=500"],
        &["list", "--messages=100"],
        &["claim-delete", "--messages=300"],
        &["claim-delete", "--messages=300", "--batch=1", "--delete=single"],
        &["mixed", "--rate=500"],
        &["calm", "--rate=200"],
        &["deep", "--depth=200", "--claims=5"],
    ];
    for words in workloads {
        let round = round(Plant::Honest, words);
        assert!(round.passed, "{words:?}: {round:#?}");
        assert!(round.messages > 0 && round.errors.is_empty(), "{words:?}: {round:#?}");
        assert!(round.server.is_some(), "{words:?}: the process of the server was not found");
    }
}

#[test]
fn ping_asks_and_stores_nothing() {
    let round = round(Plant::Honest, &["ping", "--rate=200"]);
    assert!(round.passed && round.errors.is_empty(), "{round:#?}");
    assert_eq!((round.messages, round.checks.acked), (0, 0));
    assert!(round.latencies.values().any(|latency| latency.count > 0), "{round:#?}");
}

#[test]
fn claim_delete_consumes_exactly_what_was_prepared() {
    let round = round(Plant::Honest, &["claim-delete", "--messages=105", "--duration=60"]);
    assert_eq!((round.messages, round.checks.acked, round.checks.left), (315, 315, 0));
    assert_eq!((round.checks.claimed, round.checks.deleted), (315, 315));
}

#[test]
fn a_budget_of_messages_ends_posting() {
    let round = round(Plant::Honest, &["post", "--messages=200", "--batch=10", "--duration=60"]);
    assert_eq!((round.checks.acked, round.checks.left), (200, 200));
}

#[test]
fn a_server_that_loses_is_caught_by_every_workload_that_accounts() {
    let workloads: [&[&str]; 4] =
        [&["post"], &["list", "--messages=200"], &["claim-delete", "--messages=200"], &["mixed"]];
    for words in workloads {
        let round = round(Plant::Loses, words);
        assert_eq!(failures(&round), [Fault::Lost], "{words:?}: {:?}", round.checks);
    }
}

#[test]
fn a_server_that_doubles_is_caught() {
    let workloads: [&[&str]; 3] =
        [&["post"], &["list", "--messages=200"], &["claim-delete", "--messages=200"]];
    for words in workloads {
        let round = round(Plant::Doubles, words);
        assert!(failures(&round).contains(&Fault::Doubled), "{words:?}: {:?}", round.checks);
        assert!(!round.passed);
    }
}

#[test]
fn a_server_that_misorders_is_caught_unless_order_is_not_asked() {
    for words in [&["post"][..], &["list", "--messages=200"]] {
        let round = round(Plant::Misorders, words);
        assert_eq!(failures(&round), [Fault::Misordered], "{words:?}: {:?}", round.checks);
        assert!(!round.passed);
    }
    let round = round(Plant::Misorders, &["post", "--unordered"]);
    assert!(round.passed, "{:?}", round.checks);
}

#[test]
fn claims_out_of_order_are_caught() {
    let round = round(Plant::Misorders, &["claim-delete", "--messages=300"]);
    assert_eq!(failures(&round), [Fault::Misordered], "{:?}", round.checks);
}

#[test]
fn a_server_that_resurrects_is_caught() {
    let round = round(Plant::Resurrects, &["claim-delete", "--messages=200"]);
    assert_eq!(failures(&round), [Fault::Resurrected], "{:?}", round.checks);
}

#[test]
fn a_server_that_damages_bodies_is_caught() {
    let round = round(Plant::Corrupts, &["post"]);
    assert!(failures(&round).contains(&Fault::Corrupt), "{:?}", round.checks);
}

#[test]
fn posts_that_fail_are_counted_but_not_held_against_the_server() {
    for (plant, recovers) in [(Plant::FailsAfter, true), (Plant::FailsBefore, false)] {
        let round = round(plant, &["post"]);
        assert!(round.passed, "{plant:?}: {:?}", round.checks);
        assert!(round.errors.contains_key("status 503"), "{plant:?}: {:?}", round.errors);
        assert!(round.checks.unsure > 0);
        let expected = if recovers { round.checks.unsure } else { 0 };
        assert_eq!(round.checks.recovered, expected, "{plant:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = round_on(&url, &["post"]).unwrap_err();
    assert!(error.to_string().contains("could not be created"), "{error}");
}
