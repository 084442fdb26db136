//! Every planted bug, what must find it, and what must not blame the driver for it.

use std::sync::Arc;

use zaqar_conformance::Harness;
use zaqar_conformance::reference::{Quirk, ReferenceHarness};

use crate::around::{Bug, BuggyHarness};
use crate::keys::KeyBug;

/// A bug that is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// In the reference driver.
    Inside(Quirk),
    /// Around it.
    Around(Bug),
}

impl Plant {
    pub(crate) fn harness(self) -> Arc<dyn Harness> {
        match self {
            Self::Inside(quirk) => Arc::new(ReferenceHarness::with_quirk(quirk)),
            Self::Around(bug) => Arc::new(BuggyHarness::new(bug)),
        }
    }

    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Inside(quirk) => quirk.summary(),
            Self::Around(bug) => bug.summary(),
        }
    }
}

/// A driver with one planted bug.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Saboteur {
    pub(crate) plant: Plant,
    /// Each of these cases and trials fails on it.
    pub(crate) caught_by: &'static [&'static str],
    /// This one does not.
    pub(crate) passes: &'static str,
}

/// What a group of saboteurs gets wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) saboteurs: &'static [Saboteur],
}

/// One test for each saboteur, and the table of all.
macro_rules! saboteurs {
    ($($title:literal {
        $($fact:ident: $plant:expr, [$($case:literal),+ $(,)?], passes $passes:literal;)*
    })*) => {
        pub(crate) const GROUPS: &[Group] = &[$(Group {
            title: $title,
            saboteurs: &[$(Saboteur {
                plant: $plant,
                caught_by: &[$($case),+],
                passes: $passes,
            },)*],
        },)*];

        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                let saboteur =
                    Saboteur { plant: $plant, caught_by: &[$($case),+], passes: $passes };
                crate::assert_caught(&saboteur).await;
            }
        )*)*
    };
}

/// A bug of the reference driver.
macro_rules! inside {
    ($quirk:ident) => {
        Plant::Inside(Quirk::$quirk)
    };
}

saboteurs! {
    "Posts" {
        a_message_in_ten_not_stored: inside!(DropOneInNPosts),
            [
                "message.post.queue_order",
                "loss.concurrent.many_producers_many_claimers",
                "loss.concurrent.claims_are_exclusive",
                "fault.caller.nothing_lost_under_failures_and_cancellation",
            ],
            passes "message.get.missing";
        a_post_acknowledged_before_it_is_visible: Plant::Around(Bug::Late),
            [
                "message.get.as_posted",
                "loss.concurrent.many_producers_many_claimers",
                "model.driver_agrees_with_the_reference",
            ],
            passes "pop.order.oldest_first";
        an_error_that_denies_its_effect: inside!(WrongEffectOnError),
            [
                "batch.post.stands_together",
                "loss.concurrent.many_producers_many_claimers",
                "fault.caller.nothing_lost_under_failures_and_cancellation",
            ],
            passes "message.get.missing";
        a_batch_in_two_steps: inside!(BatchNotAtomic),
            [
                "delete.bulk.all_or_none",
                "cancel.post.whole_or_not",
                "loss.concurrent.many_producers_many_claimers",
            ],
            passes "delete.single.is_gone";
        answers_that_are_crossed: inside!(CrossAnswers),
            ["batch.post.ids_belong_to_bodies"],
            passes "message.post.ids_in_order";
        a_post_sent_again_by_itself: inside!(RepeatPosts),
            [
                "message.post.queue_order",
                "loss.concurrent.many_producers_many_claimers",
                "loss.concurrent.claims_are_exclusive",
            ],
            passes "message.get.missing";
        a_post_of_nothing_or_too_much: inside!(AcceptEmptyPosts),
            ["message.post.refused_by_number"],
            passes "message.post.a_thousand_at_once";
        a_key_stored_after_its_messages: Plant::Around(Bug::Keys(KeyBug::AfterMessages)),
            [
                "loss.concurrent.many_producers_many_claimers",
                "fault.caller.nothing_lost_under_failures_and_cancellation",
            ],
            passes "idempotency.repeat.same_ids";
        a_key_stored_before_its_messages: Plant::Around(Bug::Keys(KeyBug::BeforeMessages)),
            [
                "loss.concurrent.many_producers_many_claimers",
                "fault.caller.nothing_lost_under_failures_and_cancellation",
            ],
            passes "idempotency.repeat.same_ids";
        keys_that_only_the_connection_knows: Plant::Around(Bug::Keys(KeyBug::InMemory)),
            [
                "loss.concurrent.many_producers_many_claimers",
                "fault.caller.nothing_lost_under_failures_and_cancellation",
            ],
            passes "idempotency.repeat.same_ids";
    }
    "Order, markers and pages" {
        a_marker_before_its_message: inside!(MarkerBeforeVisible),
            ["loss.concurrent.marker_readers_step_over_nothing"],
            passes "paging.walk.each_once";
        a_filter_behind_the_limit: inside!(FilterAfterLimit),
            [
                "paging.filter.claimed_ahead",
                "paging.filter.client_ahead",
                "paging.filter.delayed_ahead",
                "model.driver_agrees_with_the_reference",
            ],
            passes "paging.walk.each_once";
        a_listing_that_begins_anew: inside!(RestartAtDeletedMarker),
            [
                "paging.marker.deleted_message",
                "paging.walk.during_changes",
                "fault.caller.nothing_lost_under_failures_and_cancellation",
            ],
            passes "paging.walk.each_once";
        a_short_page_for_the_end: inside!(EndWithShortPage),
            ["paging.page.last_has_a_marker"],
            passes "paging.filter.claimed_ahead";
    }
    "Claims and leases" {
        claiming_twice: inside!(DoubleClaim),
            [
                "loss.concurrent.many_producers_many_claimers",
                "loss.concurrent.claims_are_exclusive",
                "model.driver_agrees_with_the_reference",
            ],
            passes "message.get.as_posted";
        losing_messages_when_a_claim_lapses: inside!(LoseOnClaimLapse),
            [
                "claim.expiry.exact",
                "loss.concurrent.many_producers_many_claimers",
                "model.driver_agrees_with_the_reference",
            ],
            passes "claim.create.takes_the_oldest";
        forgetting_the_claim_count: inside!(ForgetClaimCountOnUpdate),
            ["claim.count.kept", "model.driver_agrees_with_the_reference"],
            passes "claim.expiry.exact";
        resurrection: inside!(ResurrectDeleted),
            [
                "loss.concurrent.many_producers_many_claimers",
                "loss.concurrent.delete_races_release",
                "model.driver_agrees_with_the_reference",
            ],
            passes "delete.single.is_gone";
        a_delete_by_a_stale_claim: inside!(StaleClaimDeletes),
            [
                "delete.single.expired_claim_refused",
                "fence.stale_holder.changes_nothing",
                "loss.concurrent.many_producers_many_claimers",
                "model.driver_agrees_with_the_reference",
            ],
            passes "delete.single.is_gone";
        taking_all_after_the_first_free: inside!(TakeAllAfterFirstFree),
            [
                "claim.delete.out_of_order",
                "model.driver_agrees_with_the_reference",
            ],
            passes "claim.create.ten_each_no_overlap";
        a_stale_release_that_frees_a_newer_claim: inside!(ReleaseClearsNewerLease),
            ["fence.stale_holder.changes_nothing"],
            passes "claim.delete.frees_at_once";
        forgetting_the_last_claim: inside!(ForgetLastClaims),
            ["dead_letter.origin.told"],
            passes "dead_letter.way.moves_once";
        a_claim_of_any_queue: inside!(ClaimsOfAnyQueue),
            ["isolation.ids.claims", "loss.concurrent.many_producers_many_claimers"],
            passes "claim.delete.frees_at_once";
        undeclared_claims_that_work: inside!(ClaimsUnsupportedSuccess),
            ["claim.create.takes_the_oldest"],
            passes "message.get.as_posted";
    }
    "Lives" {
        early_expiry: inside!(ExpireEarly),
            ["expiry.boundary.exact", "model.driver_agrees_with_the_reference"],
            passes "claim.create.takes_the_oldest";
        popping_expired_messages: inside!(IgnoreExpiryOnPop),
            ["expiry.hidden.from_every_read", "model.driver_agrees_with_the_reference"],
            passes "pop.order.oldest_first";
        a_claim_that_prolongs_nothing: inside!(ProlongNothing),
            [
                "life.claim.extends_short_lives",
                "life.claim.extension_is_real",
                "model.driver_agrees_with_the_reference",
            ],
            passes "expiry.boundary.exact";
        collecting_by_the_first_end: inside!(CollectByFirstEnd),
            ["life.gc.spares_extended"],
            passes "expiry.gc.leaves_the_living";
        long_lives_that_wrap_around: inside!(WrapLongLives),
            ["expiry.ttl.longest"],
            passes "expiry.boundary.exact";
        choking_on_many_expired: inside!(ChokeOnManyExpired),
            ["claim.depth.expired_ahead"],
            passes "expiry.hidden.from_claims";
    }
    "Dead letters" {
        a_dead_letter_in_neither_queue: inside!(DlqDeleteBeforeInsert),
            ["dead_letter.way.never_in_neither", "dead_letter.way.resumes"],
            passes "dead_letter.park.after_the_last_delivery";
        a_dead_letter_as_old_as_its_post: inside!(AgeDeadLetters),
            ["dead_letter.life.starts_at_arrival"],
            passes "dead_letter.way.moves_once";
    }
    "Queues that end, and tenants" {
        a_past_life_that_returns: inside!(RestoreAfterClose),
            [
                "incarnation.recreate.is_empty",
                "loss.concurrent.queue_delete_races_post",
                "model.driver_agrees_with_the_reference",
            ],
            passes "message.get.as_posted";
        a_post_to_what_was_deleted: inside!(SwallowPostsToClosed),
            ["head.close.refuses_everything", "loss.concurrent.queue_delete_races_post"],
            passes "head.missing.refuses_everything";
        reading_another_tenants_messages: inside!(CrossTenantRead),
            ["isolation.ids.messages", "model.driver_agrees_with_the_reference"],
            passes "isolation.names.share_nothing";
    }
    "Notifications" {
        losing_an_outbox_entry: inside!(LoseOutboxEntry),
            ["outbox.deliver.batches_and_pages", "outbox.race.each_once_never_early", "loss.concurrent.every_subscriber_is_served"],
            passes "message.get.as_posted";
        notifying_before_the_post_is_stored: inside!(NotifyBeforeCommit),
            ["outbox.race.each_once_never_early", "loss.concurrent.every_subscriber_is_served"],
            passes "outbox.deliver.batches_and_pages";
        the_first_subscribers_only: inside!(FirstSubscribersOnly),
            ["outbox.deliver.to_every_subscription"],
            passes "outbox.deliver.in_order";
        leasing_a_subscription_twice: inside!(DoubleLease),
            ["delivery.lease.exclusive", "delivery.renew.holds_longer", "loss.concurrent.every_subscriber_is_served"],
            passes "outbox.deliver.in_order";
        completing_without_the_lease: inside!(CompleteWithoutLease),
            ["delivery.complete.lost_lease"],
            passes "delivery.lease.exclusive";
        counting_a_retry_twice: inside!(CountRetryTwice),
            ["delivery.retry.counted_once", "delivery.complete.repeated"],
            passes "delivery.retry.not_before";
        giving_up_without_a_record: inside!(ExhaustUnrecorded),
            ["delivery.exhausted.recorded", "delivery.exhausted.paged"],
            passes "delivery.retry.not_before";
        skipping_what_no_outcome_mentions: inside!(SkipUnmentioned),
            ["delivery.complete.prefix", "delivery.complete.without_release", "loss.concurrent.every_subscriber_is_served"],
            passes "delivery.retry.not_before";
        forgetting_retries: inside!(ForgetRetries),
            ["delivery.retry.not_before", "delivery.retry.before_new_ones", "loss.concurrent.every_subscriber_is_served"],
            passes "outbox.deliver.in_order";
    }
    "Moves" {
        serving_stale_routes: inside!(ServeStaleRoutes),
            ["move.fence.refuses_who_does_not_know"],
            passes "move.whole.out_and_in";
        touching_what_is_on_its_way: inside!(TouchFrozen),
            [
                "move.freeze.stands_still",
                "move.freeze.claims_stand_still",
                "move.insert.frozen_until_revealed",
            ],
            passes "move.whole.out_and_in";
        revealing_early: inside!(RevealEarly),
            ["move.insert.frozen_until_revealed", "move.whole.out_and_in"],
            passes "move.insert.purged";
        inserting_a_part_twice: inside!(InsertPartTwice),
            ["move.insert.once"],
            passes "move.whole.out_and_in";
        forgetting_holds_on_a_move: inside!(ForgetHoldsOnMove),
            ["move.reveal.claims_hold"],
            passes "move.insert.once";
        reopening_left_heads: inside!(ReopenLeftHeads),
            ["move.close.left_head_stays_closed"],
            passes "move.back.under_a_higher_epoch";
        forgetting_origins_on_a_move: inside!(ForgetOriginsOnMove),
            ["move.records.keys_and_arrivals"],
            passes "dead_letter.origin.told";
    }
}
