//! Histories for the model: sequences of operations whose arguments are small numbers, so that a
//! shorter history still means something.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};

/// How many queues a history uses: two in each of two projects.
pub(super) const QUEUES: usize = 4;

/// A queue, in its present life or, if it was made again, the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) queue: usize,
    pub(super) former: bool,
    /// Whether a step on a message or claim goes to the queue where that was made instead.
    pub(super) home: bool,
}

/// A number that picks one of what the history made so far, whatever its count; 0 is the latest.
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
    /// Deletes what a claim returned, under that claim: all of it at once, or its first message.
    DeleteClaimed {
        on: Place,
        claim: Pick,
        bulk: bool,
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

fn place() -> BoxedStrategy<Place> {
    let former = prop_oneof![12 => Just(false), 1 => Just(true)];
    // The first queue is used most: what interferes must meet.
    let queue = prop_oneof![6 => Just(0), 2 => Just(1), 1 => Just(2), 1 => Just(3)];
    let home = prop_oneof![5 => Just(true), 1 => Just(false)];
    (queue, former, home).prop_map(|(queue, former, home)| Place { queue, former, home }).boxed()
}

fn ttl() -> BoxedStrategy<u64> {
    prop_oneof![3 => Just(3_600), 2 => Just(60), 1 => Just(5), 1 => Just(1)].boxed()
}

fn delay() -> BoxedStrategy<u64> {
    prop_oneof![6 => Just(0), 1 => Just(3), 1 => Just(30)].boxed()
}

fn lease() -> BoxedStrategy<u64> {
    prop_oneof![2 => Just(60), 2 => Just(10), 1 => Just(1)].boxed()
}

fn grace() -> BoxedStrategy<u64> {
    prop_oneof![Just(0), Just(5), Just(60)].boxed()
}

fn limit() -> BoxedStrategy<u32> {
    prop_oneof![Just(1), Just(2), Just(3), Just(10), Just(100)].boxed()
}

fn pick() -> BoxedStrategy<Pick> {
    prop_oneof![3 => 0..3_u16, 1 => any::<Pick>()].boxed()
}

// Strategies are boxed: nested by value they outgrow a thread's stack.

/// Steps on messages.
fn messages() -> BoxedStrategy<Op> {
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
    .boxed()
}

/// Steps on claims.
fn claims() -> BoxedStrategy<Op> {
    let claims_max = prop_oneof![1 => Just(None), 1 => (1_u32..3).prop_map(Some)];
    prop_oneof![
        6 => (place(), lease(), grace(), limit(), claims_max).prop_map(
            |(on, ttl, grace, limit, claims_max)| Op::Claim { on, ttl, grace, limit, claims_max }
        ),
        1 => (place(), pick()).prop_map(|(on, claim)| Op::ClaimAgain { on, claim }),
        2 => (place(), pick()).prop_map(|(on, claim)| Op::ClaimGet { on, claim }),
        2 => (place(), pick(), lease(), grace())
            .prop_map(|(on, claim, ttl, grace)| Op::ClaimUpdate { on, claim, ttl, grace }),
        2 => (place(), pick()).prop_map(|(on, claim)| Op::ClaimDelete { on, claim }),
        3 => (place(), pick(), any::<bool>())
            .prop_map(|(on, claim, bulk)| Op::DeleteClaimed { on, claim, bulk }),
        2 => (place(), 1_u8..4).prop_map(|(on, steps)| Op::Transfer { on, steps }),
    ]
    .boxed()
}

/// Everything else.
fn others() -> BoxedStrategy<Op> {
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
    .boxed()
}

/// Histories of up to `steps` steps, half of them that long: what interferes needs room to meet.
pub(super) fn histories(steps: usize) -> impl Strategy<Value = Vec<Op>> {
    let lengths = 1..2 * steps;
    vec(prop_oneof![5 => messages(), 4 => claims(), 3 => others()], lengths).prop_map(
        move |mut ops| {
            ops.truncate(steps);
            ops
        },
    )
}
