//! What the model shows, for a small installation and a fixed seed, with wide margins.

use clap::Parser;
use zaqar_core::{FlavorName, Pool};
use zaqar_simulation::options::Options;
use zaqar_simulation::report::Report;
use zaqar_simulation::{growth, herd, lookups, loss, moving, placement, staleness};

/// 20,000 queues on 20 pools behind 8 heads.
fn small() -> Options {
    let line = "zaqar-simulation --queues 20000 --pools 20 --heads 8 --requests-per-s 4000 --queue-ttl-ms 2000";
    Options::parse_from(line.split(' '))
}

/// 2,000 queues on 10 pools with little to do, for what does not depend on size.
fn tiny() -> Options {
    Options { queues: 2_000, pools: 10, requests_per_s: 500.0, ..small() }
}

/// A choice that has the bug of not looking at weights.
fn ignore_weights<'p>(
    pools: &'p [Pool],
    flavor: Option<&FlavorName>,
    random: &mut rand::rngs::StdRng,
) -> Option<&'p Pool> {
    let own: Vec<_> = pools.iter().filter(|pool| pool.flavor.as_ref() == flavor).collect();
    own.get(rand::Rng::random_range(random, 0..own.len())).copied()
}

/// A choice that has the bug of not looking at flavors.
fn ignore_flavors<'p>(
    pools: &'p [Pool],
    _flavor: Option<&FlavorName>,
    random: &mut rand::rngs::StdRng,
) -> Option<&'p Pool> {
    zaqar_engine::pools::placement::choose(pools.iter(), |total| {
        rand::Rng::random_range(random, 0..total)
    })
}

#[test]
fn the_engine_places_queues_by_weight_and_flavor() {
    let placement = placement::run(&small()).unwrap();
    assert_eq!(placement::failures(&placement), Vec::<String>::new());
    let pools: Vec<usize> = placement.numbers.iter().map(|case| case.balance.pools).collect();
    assert_eq!(pools, [20, 20, 6, 2, 12]);
    let flavored: u64 = placement.numbers.iter().skip(2).map(|case| case.balance.queues).sum();
    assert_eq!(flavored, 20_000);
}

#[test]
fn a_choice_that_ignores_weights_is_noticed() {
    let placement = placement::run_with(&small(), ignore_weights).unwrap();
    let failures = placement::failures(&placement);
    // With equal weights there is nothing to notice.
    assert!(!failures.iter().any(|failure| failure.contains("equal weights")), "{failures:?}");
    assert!(failures.iter().any(|failure| failure.contains("weights 50")), "{failures:?}");
}

#[test]
fn a_choice_that_ignores_flavors_is_noticed() {
    let placement = placement::run_with(&small(), ignore_flavors).unwrap();
    let failures = placement::failures(&placement);
    assert!(failures.iter().any(|failure| failure.contains("flavor gold")), "{failures:?}");
}

#[test]
fn requests_are_spread_as_evenly_as_queues_only_if_queues_are_alike() {
    let loads = placement::run(&small()).unwrap().loads;
    let (alike, unlike) = (&loads[0], &loads[3]);
    assert!(alike.spread.max < 1.2, "{alike:?}");
    // 5 standard deviations of a standard deviation of 20 figures.
    assert!((alike.spread.standard_deviation / alike.formula - 1.0).abs() < 0.8, "{alike:?}");
    assert!(
        unlike.spread.max >= unlike.greatest_queue && unlike.greatest_queue > 2.0,
        "{unlike:?}"
    );
    for load in &loads {
        assert!(load.best_max <= load.spread.max, "{load:?}");
        assert!(load.best_max >= load.greatest_queue.max(1.0) - 1e-6, "{load:?}");
    }
}

#[test]
fn new_pools_get_their_share_of_new_queues_and_fill_as_old_queues_end() {
    let cases = growth::run(&small()).unwrap();
    assert_eq!(growth::failures(&cases), Vec::<String>::new());
    let [tenth, tenth_lasting, double, drained, drained_lasting] = &cases[..] else {
        panic!("{} cases", cases.len())
    };
    // A twentieth is left after ln 20 mean lives.
    for case in [tenth, double, drained] {
        let lives = case.done_lives.unwrap();
        assert!((2.0..4.0).contains(&lives), "{}: {lives}", case.what);
    }
    assert!((double.new_share - 0.5).abs() < 0.02, "{}", double.new_share);
    assert_eq!(drained.new_share, 0.0);
    assert_eq!((tenth_lasting.done_lives, drained_lasting.done_lives), (None, None));
}

#[test]
fn a_lost_pool_takes_its_queues_alone_and_weight_0_ends_refusals() {
    let loss = loss::run(&small()).unwrap();
    assert_eq!(loss::failures(&loss), Vec::<String>::new());
    // 1,000 queues a pool; five standard deviations are 154.
    assert!(loss.queues.min > 845.0 && loss.queues.max < 1_155.0, "{:?}", loss.queues);
    assert!(loss.refused > 0.0 && loss.refused_twice < loss.refused / 5.0, "{loss:?}");
    assert_eq!(loss.refused_at_weight_0, 0.0);
}

#[test]
fn look_ups_are_as_the_formula_says() {
    let cases = lookups::run(&small()).unwrap();
    assert_eq!(lookups::failures(&cases), Vec::<String>::new());
    let [plain, heads, ttl, few, alike, sticky, _] = &cases[..] else {
        panic!("{} cases", cases.len())
    };
    let rate = |case: &lookups::Case| case.counted_per_s;
    assert!(rate(heads) > rate(plain) && rate(alike) > rate(plain));
    assert!(rate(ttl) < rate(plain) && rate(few) < rate(plain) && rate(sticky) < rate(plain));
    assert!(cases.iter().all(|case| case.counted_per_s <= 4_000.0 * 1.05));
}

#[test]
fn a_formula_that_is_off_is_noticed() {
    let mut cases = lookups::run(&tiny()).unwrap();
    cases[0].formula_per_s *= 1.2;
    assert_eq!(lookups::failures(&cases).len(), 1);
}

#[test]
fn a_cold_head_asks_more_than_a_warm_one_but_never_more_than_it_is_asked() {
    for case in herd::run(&small()).unwrap() {
        assert!(case.first_per_s > case.steady_per_s, "{case:?}");
        assert!(case.echo_per_s > case.half_per_s, "{case:?}");
        assert!(case.first_per_s < case.requests_per_s * 1.1, "{case:?}");
        assert!(case.pools_opened > 10.0 && case.pools_opened <= 20.0, "{case:?}");
    }
}

#[test]
fn a_moved_queue_is_met_by_at_most_one_refusal_at_each_head() {
    let staleness = staleness::run(&small()).unwrap();
    assert_eq!(staleness::failures(&staleness), Vec::<String>::new());
    for moved in &staleness.moved {
        assert!(moved.refused > 0.0 && moved.refused <= moved.queues as f64 * 8.0, "{moved:?}");
        assert!(moved.refused < moved.requests, "{moved:?}");
    }
    // The busiest queue is remembered everywhere.
    assert!(staleness.moved[0].refused >= 7.0, "{:?}", staleness.moved[0]);
    for listed in &staleness.listed {
        assert!(listed.misplaced <= listed.by_old_list, "{listed:?}");
        assert!(listed.by_old_list < listed.created.max(1), "{listed:?}");
    }
}

#[test]
fn moving_levels_pools_as_far_as_queues_can_be_moved() {
    let cases = moving::run(&small()).unwrap();
    assert_eq!(moving::failures(&cases), Vec::<String>::new());
    let [more, double, emptied, placed, more_requests] = &cases[..] else {
        panic!("{} cases", cases.len())
    };
    for case in [more, double, emptied] {
        assert_eq!(case.stuck, 0, "{case:?}");
        assert!(case.after.max <= 1.05 + 1e-6, "{case:?}");
        assert!(case.seconds >= case.seconds_min, "{case:?}");
    }
    // 2 of 22 pools were empty, 1 of 2 was, 1 of 20 is to be.
    for (case, share) in [(more, 2.0 / 22.0), (double, 0.5), (emptied, 0.05)] {
        assert!((case.share / share - 1.0).abs() < 0.25, "{case:?}");
    }
    // The busiest queue gets more than a pool's fair share of requests: 20 / 10.5.
    for case in [placed, more_requests] {
        assert!(case.stuck >= 1 && case.after.max > 1.5, "{case:?}");
        assert!(case.after.standard_deviation < case.before.standard_deviation, "{case:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_seed_another() {
    let options = tiny();
    let text = |options: &Options| Report::new(options).unwrap().text();
    let first = text(&options);
    assert_eq!(first, text(&options));
    assert_ne!(first, text(&Options { seed: 2, ..options }));
}

#[test]
fn the_report_is_written_as_json() {
    let report = Report::new(&tiny()).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    for part in ["placement", "growth", "loss", "lookups", "herd", "staleness", "moving"] {
        assert!(json.get(part).is_some_and(|part| !part.is_null()), "{part}");
    }
    assert_eq!(json["options"]["queues"], 2_000);
}
