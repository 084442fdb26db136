//! The suite is tested too: each driver here has one planted bug, and the cases named for it must
//! find it, while the case named beside them does not blame the driver for what it does right.

mod around;
mod keys;

use std::sync::Arc;

use around::{Bug, BuggyHarness};
use keys::KeyBug;
use zaqar_conformance::reference::{Quirks, ReferenceHarness};
use zaqar_conformance::{Harness, Outcome, Suite};

/// Runs the suite's cases and trials of these ids.
#[cfg(test)]
async fn outcomes(harness: Arc<dyn Harness>, ids: &[&str]) -> Vec<(String, Outcome)> {
    let suite = Suite::new(harness).only(ids.iter().copied());
    let report = suite.run().await.expect("the reference driver opens");
    let outcomes: Vec<_> =
        report.entries.into_iter().map(|entry| (entry.id, entry.outcome)).collect();
    assert_eq!(outcomes.len(), ids.len(), "an id of the table is none of the suite: {ids:?}");
    outcomes
}

/// Every one of `caught_by` fails on the saboteur and passes on the sound driver; `still_passes`
/// passes on both.
async fn assert_caught(saboteur: Arc<dyn Harness>, caught_by: &[&str], still_passes: &str) {
    for (id, outcome) in outcomes(Arc::clone(&saboteur), caught_by).await {
        assert!(matches!(outcome, Outcome::Failed { .. }), "{id} missed the bug: {outcome:?}");
    }
    let unblamed = outcomes(saboteur, &[still_passes]).await;
    let sound: Arc<dyn Harness> = Arc::new(ReferenceHarness::new());
    let unharmed = outcomes(sound, caught_by).await;
    for (id, outcome) in unblamed.into_iter().chain(unharmed) {
        assert!(matches!(outcome, Outcome::Passed { .. }), "{id}: {outcome:?}");
    }
}

/// One test for each planted bug of the reference driver.
macro_rules! saboteurs {
    ($($fact:ident: $quirk:ident is caught by [$($case:literal),+ $(,)?] and passes $passes:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $fact() {
            let quirks = Quirks { $quirk: true, ..Quirks::none() };
            let saboteur = Arc::new(ReferenceHarness::with_quirks(quirks));
            assert_caught(saboteur, &[$($case),+], $passes).await;
        }
    )*};
}

saboteurs! {
    serving_stale_routes_is_caught: serve_stale_routes
        is caught by ["move.fence.refuses_who_does_not_know"]
        and passes "move.whole.out_and_in";
    touching_what_is_on_its_way_is_caught: touch_frozen
        is caught by ["move.freeze.stands_still", "move.freeze.claims_stand_still", "move.insert.frozen_until_revealed"]
        and passes "move.whole.out_and_in";
    revealing_early_is_caught: reveal_early
        is caught by ["move.insert.frozen_until_revealed", "move.whole.out_and_in"]
        and passes "move.insert.purged";
    inserting_a_part_twice_is_caught: insert_part_twice
        is caught by ["move.insert.once"]
        and passes "move.whole.out_and_in";
    forgetting_holds_on_a_move_is_caught: forget_holds_on_move
        is caught by ["move.reveal.claims_hold"]
        and passes "move.insert.once";
    reopening_left_heads_is_caught: reopen_left_heads
        is caught by ["move.close.left_head_stays_closed"]
        and passes "move.back.under_a_higher_epoch";
    forgetting_origins_on_a_move_is_caught: forget_origins_on_move
        is caught by ["move.records.keys_and_arrivals"]
        and passes "dead_letter.origin.told";
    forgetting_the_last_claim_is_caught: forget_last_claims
        is caught by ["dead_letter.origin.told"]
        and passes "dead_letter.way.moves_once";
    early_expiry_is_caught: expire_early
        is caught by ["expiry.boundary.exact", "model.driver_agrees_with_the_reference"]
        and passes "claim.create.takes_the_oldest";
    popping_expired_messages_is_caught: ignore_expiry_on_pop
        is caught by ["expiry.hidden.from_every_read", "model.driver_agrees_with_the_reference"]
        and passes "pop.order.oldest_first";
    claiming_twice_is_caught: double_claim
        is caught by [
            "loss.concurrent.many_producers_many_claimers",
            "loss.concurrent.claims_are_exclusive",
            "model.driver_agrees_with_the_reference",
        ]
        and passes "message.get.as_posted";
    losing_messages_when_a_claim_lapses_is_caught: lose_on_claim_lapse
        is caught by [
            "claim.expiry.exact",
            "loss.concurrent.many_producers_many_claimers",
            "model.driver_agrees_with_the_reference",
        ]
        and passes "claim.create.takes_the_oldest";
    forgetting_the_claim_count_is_caught: forget_claim_count_on_update
        is caught by ["claim.count.kept", "model.driver_agrees_with_the_reference"]
        and passes "claim.expiry.exact";
    resurrection_is_caught: resurrect_deleted
        is caught by [
            "loss.concurrent.many_producers_many_claimers",
            "loss.concurrent.delete_races_release",
            "model.driver_agrees_with_the_reference",
        ]
        and passes "delete.single.is_gone";
    markers_before_their_messages_are_caught: marker_before_visible
        is caught by ["loss.concurrent.marker_readers_step_over_nothing"]
        and passes "paging.walk.each_once";
    a_dead_letter_in_neither_queue_is_caught: dlq_delete_before_insert
        is caught by ["dead_letter.way.never_in_neither", "dead_letter.way.resumes"]
        and passes "dead_letter.park.after_the_last_delivery";
    dropping_a_post_in_ten_is_caught: drop_one_in_n_posts
        is caught by [
            "message.post.queue_order",
            "loss.concurrent.many_producers_many_claimers",
            "loss.concurrent.claims_are_exclusive",
            "fault.caller.nothing_lost_under_failures_and_cancellation",
        ]
        and passes "message.get.missing";
    an_error_that_denies_its_effect_is_caught: wrong_effect_on_error
        is caught by [
            "batch.post.stands_together",
            "loss.concurrent.many_producers_many_claimers",
            "fault.caller.nothing_lost_under_failures_and_cancellation",
        ]
        and passes "message.get.missing";
    undeclared_claims_that_work_are_caught: claims_unsupported_success
        is caught by ["claim.create.takes_the_oldest"]
        and passes "message.get.as_posted";
    a_past_life_that_returns_is_caught: restore_after_close
        is caught by [
            "incarnation.recreate.is_empty",
            "loss.concurrent.queue_delete_races_post",
            "model.driver_agrees_with_the_reference",
        ]
        and passes "message.get.as_posted";
    reading_another_tenants_messages_is_caught: cross_tenant_read
        is caught by ["isolation.ids.messages", "model.driver_agrees_with_the_reference"]
        and passes "isolation.names.share_nothing";
    a_batch_in_two_steps_is_caught: batch_not_atomic
        is caught by ["delete.bulk.all_or_none", "loss.concurrent.many_producers_many_claimers"]
        and passes "message.post.ids_in_order";
    a_delete_by_a_stale_claim_is_caught: stale_claim_deletes
        is caught by [
            "delete.single.expired_claim_refused",
            "fence.stale_holder.changes_nothing",
            "loss.concurrent.many_producers_many_claimers",
            "model.driver_agrees_with_the_reference",
        ]
        and passes "delete.single.is_gone";
}

saboteurs! {
    losing_an_outbox_entry_is_caught: lose_outbox_entry
        is caught by ["outbox.deliver.batches_and_pages", "outbox.race.each_once_never_early"]
        and passes "message.get.as_posted";
    notifying_before_the_post_is_stored_is_caught: notify_before_commit
        is caught by ["outbox.race.each_once_never_early"]
        and passes "outbox.deliver.batches_and_pages";
    leasing_a_subscription_twice_is_caught: double_lease
        is caught by ["delivery.lease.exclusive", "delivery.renew.holds_longer"]
        and passes "outbox.deliver.in_order";
    completing_without_the_lease_is_caught: complete_without_lease
        is caught by ["delivery.complete.lost_lease"]
        and passes "delivery.lease.exclusive";
    counting_a_retry_twice_is_caught: count_retry_twice
        is caught by ["delivery.retry.counted_once", "delivery.complete.repeated"]
        and passes "delivery.retry.not_before";
    giving_up_without_a_record_is_caught: exhaust_unrecorded
        is caught by ["delivery.exhausted.recorded", "delivery.exhausted.paged"]
        and passes "delivery.retry.not_before";
    skipping_what_no_outcome_mentions_is_caught: skip_unmentioned
        is caught by ["delivery.complete.prefix", "delivery.complete.without_release"]
        and passes "delivery.retry.not_before";
    forgetting_retries_is_caught: forget_retries
        is caught by ["delivery.retry.not_before", "delivery.retry.before_new_ones"]
        and passes "outbox.deliver.in_order";
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_acknowledged_before_it_is_visible_is_caught() {
    let caught_by = [
        "message.get.as_posted",
        "loss.concurrent.many_producers_many_claimers",
        "model.driver_agrees_with_the_reference",
    ];
    let late = Arc::new(BuggyHarness::new(Bug::Late));
    assert_caught(late, &caught_by, "pop.order.oldest_first").await;
}

/// Both workloads must find what is wrong with the keys, though the cases that ask one call after the
/// other find nothing.
async fn assert_keys_caught(bug: KeyBug) {
    let caught_by = [
        "loss.concurrent.many_producers_many_claimers",
        "fault.caller.nothing_lost_under_failures_and_cancellation",
    ];
    let saboteur = Arc::new(BuggyHarness::new(Bug::Keys(bug)));
    assert_caught(saboteur, &caught_by, "idempotency.repeat.same_ids").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_stored_after_its_messages_is_caught() {
    assert_keys_caught(KeyBug::AfterMessages).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_stored_before_its_messages_is_caught() {
    assert_keys_caught(KeyBug::BeforeMessages).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_only_the_connection_knows_are_caught() {
    assert_keys_caught(KeyBug::InMemory).await;
}
