//! Histories for the model: sequences of operations whose arguments are small numbers, so that a
//! shorter history still means something.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

/// How many queues a history uses: two in each of two projects.
pub(super) const QUEUES: usize = 4;

/// A queue, in its present life or, if it was made again, the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) queue: usize,
    pub(super) former: bool,
}

/// A number that picks one of what the history made so far, whatever its count.
pub(super) type Pick = u16;

/// One step. Spans are in seconds.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Post {
        on: Place,
        messages: Vec<(u64, u64)>,
        client: u8,
        key: Option<u8>,
    },
    List {
        on: Place,
        limit: u32,
        after: Option<Pick>,
        hide: Option<u8>,
        include: (bool, bool),
    },
    Get {
        on: Place,
        message: Pick,
    },
    BulkGet {
        on: Place,
        messages: Vec<Pick>,
    },
    First {
        on: Place,
        newest: bool,
    },
    Claim {
        on: Place,
        ttl: u64,
        grace: u64,
        limit: u32,
        claims_max: Option<u32>,
    },
    ClaimAgain {
        on: Place,
        claim: Pick,
    },
    ClaimGet {
        on: Place,
        claim: Pick,
    },
    ClaimUpdate {
        on: Place,
        claim: Pick,
        ttl: u64,
        grace: u64,
    },
    ClaimDelete {
        on: Place,
        claim: Pick,
    },
    Delete {
        on: Place,
        message: Pick,
        claim: Option<Pick>,
    },
    /// Deletes what a claim returned last, under that claim.
    DeleteClaimed {
        on: Place,
        claim: Pick,
    },
    BulkDelete {
        on: Place,
        messages: Vec<Pick>,
        claims: Option<Vec<Pick>>,
    },
    Pop {
        on: Place,
        limit: u32,
    },
    Purge {
        on: Place,
    },
    Stats {
        on: Place,
    },
    Recreate {
        queue: usize,
    },
    Advance {
        ms: u64,
    },
    Sweep,
    Gc {
        margin: u64,
    },
    Subscribe {
        on: Place,
        subscriber: u8,
        ttl: u64,
    },
    Subscriptions {
        on: Place,
    },
    Unsubscribe {
        on: Place,
        subscription: Pick,
    },
    /// Carries dead letters out: leases them; inserts them; completes them.
    Transfer {
        on: Place,
        steps: u8,
    },
}

fn place() -> impl Strategy<Value = Place> {
    let former = prop_oneof![12 => Just(false), 1 => Just(true)];
    // The first queue is used most: what interferes must meet.
    let queue = prop_oneof![4 => Just(0), 3 => Just(1), 1 => Just(2), 1 => Just(3)];
    (queue, former).prop_map(|(queue, former)| Place { queue, former })
}

fn ttl() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(3_600), 2 => Just(60), 1 => Just(5), 1 => Just(1)]
}

fn delay() -> impl Strategy<Value = u64> {
    prop_oneof![6 => Just(0), 1 => Just(3), 1 => Just(30)]
}

fn lease() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(60), 2 => Just(10), 1 => Just(1)]
}

fn grace() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(5), Just(60)]
}

fn limit() -> impl Strategy<Value = u32> {
    prop_oneof![Just(1), Just(2), Just(3), Just(10), Just(100)]
}

fn pick() -> impl Strategy<Value = Pick> {
    any::<Pick>()
}

/// Steps on messages.
fn messages() -> impl Strategy<Value = Op> {
    let include = (any::<bool>(), any::<bool>());
    let key = prop_oneof![8 => Just(None), 1 => (0_u8..2).prop_map(Some)];
    prop_oneof![
        6 => (place(), vec((ttl(), delay()), 1..5), 0_u8..2, key)
            .prop_map(|(on, messages, client, key)| Op::Post { on, messages, client, key }),
        4 => (place(), limit(), option::of(pick()), option::weighted(0.2, 0_u8..2), include)
            .prop_map(|(on, limit, after, hide, include)| {
                Op::List { on, limit, after, hide, include }
            }),
        2 => (place(), pick()).prop_map(|(on, message)| Op::Get { on, message }),
        1 => (place(), vec(pick(), 0..4)).prop_map(|(on, messages)| Op::BulkGet { on, messages }),
        1 => (place(), any::<bool>()).prop_map(|(on, newest)| Op::First { on, newest }),
        2 => (place(), pick(), option::of(pick()))
            .prop_map(|(on, message, claim)| Op::Delete { on, message, claim }),
        1 => (place(), vec(pick(), 0..4), option::of(vec(pick(), 1..3)))
            .prop_map(|(on, messages, claims)| Op::BulkDelete { on, messages, claims }),
        2 => (place(), limit()).prop_map(|(on, limit)| Op::Pop { on, limit }),
        1 => place().prop_map(|on| Op::Purge { on }),
        1 => place().prop_map(|on| Op::Stats { on }),
    ]
}

/// Steps on claims.
fn claims() -> impl Strategy<Value = Op> {
    let claims_max = prop_oneof![2 => Just(None), 1 => (1_u32..3).prop_map(Some)];
    prop_oneof![
        6 => (place(), lease(), grace(), limit(), claims_max).prop_map(
            |(on, ttl, grace, limit, claims_max)| Op::Claim { on, ttl, grace, limit, claims_max }
        ),
        1 => (place(), pick()).prop_map(|(on, claim)| Op::ClaimAgain { on, claim }),
        2 => (place(), pick()).prop_map(|(on, claim)| Op::ClaimGet { on, claim }),
        2 => (place(), pick(), lease(), grace())
            .prop_map(|(on, claim, ttl, grace)| Op::ClaimUpdate { on, claim, ttl, grace }),
        2 => (place(), pick()).prop_map(|(on, claim)| Op::ClaimDelete { on, claim }),
        2 => (place(), pick()).prop_map(|(on, claim)| Op::DeleteClaimed { on, claim }),
        2 => (place(), 1_u8..4).prop_map(|(on, steps)| Op::Transfer { on, steps }),
    ]
}

/// Everything else.
fn others() -> impl Strategy<Value = Op> {
    let spans = [400_u64, 1_000, 1_001, 4_999, 5_000, 10_000, 61_000];
    prop_oneof![
        6 => proptest::sample::select(spans.to_vec()).prop_map(|ms| Op::Advance { ms }),
        2 => Just(Op::Sweep),
        1 => prop_oneof![Just(0_u64), Just(300)].prop_map(|margin| Op::Gc { margin }),
        1 => (0..QUEUES).prop_map(|queue| Op::Recreate { queue }),
        1 => (place(), 0_u8..3, ttl())
            .prop_map(|(on, subscriber, ttl)| Op::Subscribe { on, subscriber, ttl }),
        1 => place().prop_map(|on| Op::Subscriptions { on }),
        1 => (place(), pick())
            .prop_map(|(on, subscription)| Op::Unsubscribe { on, subscription }),
    ]
}

/// Histories of up to `steps` steps.
pub(super) fn histories(steps: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(prop_oneof![5 => messages(), 4 => claims(), 3 => others()], 1..=steps)
}
