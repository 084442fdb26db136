//! Planted bugs, for testing the suite itself.

/// Planted bugs of the reference driver, all absent by default: a suite that a driver with one of
/// these passes would be worthless. Each is a mistake that real drivers made or could make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quirks {
    /// Messages end two seconds before their time.
    pub expire_early: bool,
    /// Pop returns expired messages too.
    pub ignore_expiry_on_pop: bool,
    /// A claim takes what another live claim holds.
    pub double_claim: bool,
    /// A message is gone once a claim on it has lapsed.
    pub lose_on_claim_lapse: bool,
    /// Renewing a claim sets its messages' claim counts back to 0.
    pub forget_claim_count_on_update: bool,
    /// What was deleted under a claim comes back with the next sweep or release.
    pub resurrect_deleted: bool,
    /// A post takes its positions in one step and shows the messages in a later one.
    pub marker_before_visible: bool,
    /// A dead letter leaves its source before it has arrived.
    pub dlq_delete_before_insert: bool,
    /// Every tenth message is acknowledged and not stored.
    pub drop_one_in_n_posts: bool,
    /// Every tenth post is stored and answered with an error that says that nothing was.
    pub wrong_effect_on_error: bool,
    /// Claims are not declared, and work nevertheless.
    pub claims_unsupported_success: bool,
    /// A queue that is made again shows the messages of its predecessor.
    pub restore_after_close: bool,
    /// A tenant that knows another one's ids reads its messages.
    pub cross_tenant_read: bool,
    /// A batch is posted, and deleted, in two steps.
    pub batch_not_atomic: bool,
    /// A delete that names a claim which is over removes the message.
    pub stale_claim_deletes: bool,
    /// Every tenth message gets no outbox entry.
    pub lose_outbox_entry: bool,
    /// A post writes its outbox entry in one step and its messages in a later one.
    pub notify_before_commit: bool,
    /// Subscriptions are leased that another live lease holds.
    pub double_lease: bool,
    /// A delivery is completed whoever holds its lease.
    pub complete_without_lease: bool,
    /// A retry that is told twice under one lease counts two attempts.
    pub count_retry_twice: bool,
    /// A delivery that is given up leaves no record.
    pub exhaust_unrecorded: bool,
    /// A completion moves the cursor past messages that it does not mention.
    pub skip_unmentioned: bool,
    /// A failed delivery is not tried again.
    pub forget_retries: bool,
    /// A moved head serves callers that do not know of the move.
    pub serve_stale_routes: bool,
    /// What is on its way to another store can be claimed and deleted.
    pub touch_frozen: bool,
    /// What arrives from another store can be had before the source has removed it.
    pub reveal_early: bool,
    /// A part that was consumed is stored again when it is inserted again.
    pub insert_part_twice: bool,
    /// The claims on moved messages are forgotten on the way.
    pub forget_holds_on_move: bool,
    /// A queue that is deleted may still come back to a store that it had left.
    pub reopen_left_heads: bool,
    /// Where dead letters came from is forgotten on the way to another store.
    pub forget_origins_on_move: bool,
    /// The last claim of a message is forgotten when it ends.
    pub forget_last_claims: bool,
}

impl Quirks {
    /// No planted bug.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}
