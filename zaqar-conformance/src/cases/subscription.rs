//! Subscriptions: who is sent what is posted.

use zaqar_core::{
    Created, Error, NewSubscription, QueueRef, Subscription, SubscriptionId, UpdateSubscription,
};

use super::support::{gc, limit, nth, object, only, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    subscription_reads_as_made = "subscription.create.reads_as_made" {
        level: Extended(Subscriptions),
        guarantees: [],
        methods: ["subscription_create", "subscription_get", "subscription_find", "subscription_list"],
        summary: "A new subscription is unconfirmed, has the address, ttl and options given, and ages.",
    }
    default_page_holds_ten = "subscription.list.default_page_holds_ten" {
        level: Extended(Subscriptions),
        guarantees: [G9],
        methods: ["subscription_list"],
        summary: "Fifteen subscriptions are paged in the order of creation, ten and five, then the end.",
    }
    address_is_unique_in_its_queue = "subscription.create.unique_in_its_queue" {
        level: Extended(Subscriptions),
        guarantees: [],
        methods: ["subscription_create", "subscription_find"],
        summary: "A second subscription of an address finds the first and leaves it as it is; another queue takes the address.",
    }
    addresses_are_compared_as_they_are = "subscription.create.address_is_literal" {
        level: Extended(Subscriptions),
        guarantees: [],
        methods: ["subscription_create", "subscription_find"],
        summary: "Addresses that differ by case, a slash or a wildcard are different addresses.",
    }
    racing_creates_make_one = "subscription.create.race_makes_one" {
        level: Extended(Subscriptions),
        guarantees: [],
        methods: ["subscription_create"],
        summary: "Creates of one address that race at two nodes make one subscription, which all of them answer.",
    }
    subscription_ends_to_the_second = "subscription.expiry.exact" {
        level: Extended(Subscriptions),
        guarantees: [G8],
        methods: ["subscription_get", "subscription_list", "subscription_find", "subscription_update", "subscription_confirm"],
        summary: "A subscription is there to the second before its ttl ends; then it is found, changed and confirmed no more.",
    }
    expired_subscription_frees_its_address = "subscription.expiry.frees_its_address" {
        level: Extended(Subscriptions),
        guarantees: [G8],
        methods: ["subscription_create", "subscription_update", "gc"],
        summary: "An address whose subscription expired can subscribe again, as a new subscription.",
    }
    update_changes_what_is_named = "subscription.update.changes_what_is_named" {
        level: Extended(Subscriptions),
        guarantees: [],
        methods: ["subscription_update", "subscription_get", "subscription_find"],
        summary: "An update sets address, ttl or options and leaves the rest; a new ttl starts from now.",
    }
    update_to_a_taken_address_is_refused = "subscription.update.taken_address" {
        level: Extended(Subscriptions),
        guarantees: [],
        methods: ["subscription_update"],
        summary: "An update to another one's address is refused and changes nothing; to its own it is not.",
    }
    new_address_must_confirm_anew = "subscription.update.confirms_anew" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["subscription_update", "subscription_confirm"],
        summary: "A confirmed subscription whose address changes is unconfirmed, and needs confirmation or not as is said with the new address; other changes leave the confirmation.",
    }
    confirmation_is_set_and_cleared = "subscription.confirm.set_and_cleared" {
        level: Extended(Subscriptions),
        guarantees: [],
        methods: ["subscription_confirm", "subscription_get"],
        summary: "Confirming sets the flag, taking it back clears it, repeating either is no error.",
    }
    deleted_subscription_is_gone = "subscription.delete.is_gone" {
        level: Extended(Subscriptions),
        guarantees: [],
        methods: ["subscription_delete", "subscription_get", "subscription_list", "subscription_find"],
        summary: "A deleted subscription is gone from every read, its address free; deleting it again is silent.",
    }
    missing_subscription_is_not_found = "subscription.get.missing" {
        level: Extended(Subscriptions),
        guarantees: [],
        methods: ["subscription_get", "subscription_update", "subscription_confirm", "subscription_delete"],
        summary: "An id that names nothing is not found by read, update and confirmation, and silent to delete.",
    }
    other_queues_id_is_not_found = "subscription.get.other_queue" {
        level: Extended(Subscriptions),
        guarantees: [G12],
        methods: ["subscription_get", "subscription_update", "subscription_confirm", "subscription_delete"],
        summary: "Through another queue a subscription is neither read, changed, confirmed nor deleted.",
    }
    purge_removes_every_one = "subscription.purge.removes_all" {
        level: Extended(Subscriptions),
        guarantees: [],
        methods: ["subscription_purge", "subscription_list"],
        summary: "Purging removes all of a queue's subscriptions, however many pages, and no other queue's.",
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::SubscriptionNotFound { .. })
}

fn is_taken(error: &Error) -> bool {
    matches!(error, Error::SubscriptionExists)
}

/// A subscription of `address` for `ttl_s` that must be new.
async fn create(
    ctx: &Context,
    queue: &QueueRef,
    address: &str,
    ttl_s: u64,
) -> Result<Subscription, Failure> {
    let new = NewSubscription::new(address, span(ttl_s));
    match ctx.data.subscriptions().subscription_create(queue, new).await? {
        Created::New(made) => Ok(made),
        Created::Existing(found) => {
            Err(Failure::broken(format!("{address} has a subscription already: {found:?}")))
        }
    }
}

async fn get(ctx: &Context, queue: &QueueRef, id: SubscriptionId) -> Result<Subscription, Failure> {
    Ok(ctx.data.subscriptions().subscription_get(queue, id).await?)
}

async fn subscription_reads_as_made(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("read").await?;
    let subscriptions = ctx.data.subscriptions();
    let now = zaqar_core::Clock::now(&*ctx.clock);
    let options = object(r#"{"b": "ü", "a": {"post_data": "{\"x\": 1}"}, "_retry": [1, 2]}"#)?;
    let new =
        NewSubscription::new("http://a.example/hook?x=1", span(3_600)).options(options.clone());
    let made = subscriptions.subscription_create(&queue, new).await?;
    check!(made.is_new(), "the first create finds {made:?}");
    let made = made.into_inner();
    check_eq!(made.subscriber, "http://a.example/hook?x=1", "the address");
    check_eq!((made.ttl, made.age_s), (span(3_600), 0), "ttl and age");
    check_eq!(made.expires_at, now.after(span(3_600)), "the end");
    check_eq!((made.confirmed, made.needs_confirmation), (false, false), "the confirmation");
    check_eq!(made.owner, None, "the owner");
    let as_text = |value| serde_json::to_string(value).map_err(Failure::broken);
    check_eq!(as_text(&made.options)?, as_text(&options)?, "the options, in their order");
    check_eq!(get(ctx, &queue, made.id).await?, made, "read by id");
    let found = subscriptions.subscription_find(&queue, &made.subscriber).await?;
    check_eq!(found.as_ref(), Some(&made), "found by address");
    let listed = subscriptions.subscription_list(&queue, None, limit(10)?).await?;
    check_eq!(only(&listed.items)?, &made, "listed");
    ctx.advance(42).await?;
    check_eq!(get(ctx, &queue, made.id).await?.age_s, 42, "the age, later");

    let mut owned = NewSubscription::new("ws://connection-1", span(60));
    owned.needs_confirmation = true;
    owned.owner = Some("head-1".to_owned());
    let owned = subscriptions.subscription_create(&queue, owned).await?.into_inner();
    check_eq!(owned.owner.as_deref(), Some("head-1"), "the owner of an owned one");
    check!(owned.needs_confirmation && !owned.confirmed, "an owned one reads {owned:?}");
    Ok(())
}

async fn default_page_holds_ten(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("paged").await?;
    let mut made = Vec::new();
    for number in 0..15 {
        // Addresses descend, so that their order and that of creation differ.
        made.push(
            create(ctx, &queue, &format!("http://{}.example/", 99 - number), 3_600).await?.id,
        );
    }
    check!(made.is_sorted_by(|a, b| a < b), "ids do not ascend: {made:?}");
    let subscriptions = ctx.data.subscriptions();
    let first = subscriptions.subscription_list(&queue, None, limit(10)?).await?;
    let second = subscriptions.subscription_list(&queue, first.next, limit(10)?).await?;
    check_eq!((first.items.len(), second.items.len()), (10, 5), "the pages' lengths");
    let listed: Vec<SubscriptionId> =
        first.items.iter().chain(&second.items).map(|subscription| subscription.id).collect();
    check_eq!(listed, made, "the order");
    check!(second.next.is_some(), "the last page has no marker");
    let third = subscriptions.subscription_list(&queue, second.next, limit(10)?).await?;
    check!(third.items.is_empty(), "the page after the end holds {:?}", third.items);
    // The place of a deleted subscription stays a place.
    let gone = *nth(&made, 4)?;
    subscriptions.subscription_delete(&queue, gone).await?;
    let after = subscriptions.subscription_list(&queue, Some(gone), limit(1)?).await?;
    check_eq!(only(&after.items)?.id, *nth(&made, 5)?, "after a deleted subscription");
    Ok(())
}

async fn address_is_unique_in_its_queue(ctx: &Context) -> CaseResult {
    let (queue, other) = (ctx.queue("unique").await?, ctx.queue("other").await?);
    let subscriptions = ctx.data.subscriptions();
    let first = create(ctx, &queue, "http://a.example/", 3_600).await?;
    let second =
        NewSubscription::new("http://a.example/", span(60)).options(object(r#"{"x": 1}"#)?);
    let found = subscriptions.subscription_create(&queue, second).await?;
    check_eq!(found, Created::Existing(first.clone()), "the second create");
    check_eq!(get(ctx, &queue, first.id).await?, first, "the first, afterwards");
    let elsewhere = create(ctx, &other, "http://a.example/", 60).await?;
    let found = subscriptions.subscription_find(&other, "http://a.example/").await?;
    check_eq!(found, Some(elsewhere), "found in the other queue");
    let found = subscriptions.subscription_find(&queue, "http://a.example/").await?;
    check_eq!(found, Some(first), "found in the first queue");
    Ok(())
}

async fn addresses_are_compared_as_they_are(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("literal").await?;
    let addresses = [
        "http://a.example/",
        "http://a.example",
        "http://A.example/",
        "http://a.example/%",
        "http://a.example/_",
        "mailto:\u{fc}@a.example",
        "mailto:' OR '1'='1",
    ];
    for address in addresses {
        create(ctx, &queue, address, 3_600).await?;
    }
    for address in addresses {
        let found = ctx.data.subscriptions().subscription_find(&queue, address).await?;
        check_eq!(found.map(|s| s.subscriber).as_deref(), Some(address), "found by address");
    }
    for stranger in ["http://%", "HTTP://A.EXAMPLE/", "http://a.example/x", ""] {
        let found = ctx.data.subscriptions().subscription_find(&queue, stranger).await?;
        check_eq!(found, None, "found by {stranger:?}");
    }
    Ok(())
}

async fn racing_creates_make_one(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("raced").await?;
    let other = ctx.second_handle().await?;
    for round in 0..10 {
        let calls = (0..6).map(|call| {
            let node = if call % 2 == 0 { ctx } else { &other };
            let new = NewSubscription::new(format!("http://{round}.example/"), span(3_600));
            node.data.subscriptions().subscription_create(&queue, new)
        });
        let mut answers = Vec::new();
        for answer in futures_util::future::join_all(calls).await {
            answers.push(answer?);
        }
        let made = answers.iter().filter(|answer| answer.is_new()).count();
        check_eq!(made, 1, "subscriptions made in round {round}");
        let mut ids: Vec<SubscriptionId> = answers.into_iter().map(|a| a.into_inner().id).collect();
        ids.dedup();
        check_eq!(ids.len(), 1, "different answers in round {round}");
    }
    other.close().await;
    Ok(())
}

async fn subscription_ends_to_the_second(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("ending").await?;
    let subscriptions = ctx.data.subscriptions();
    let short = create(ctx, &queue, "http://short.example/", 60).await?;
    let long = create(ctx, &queue, "http://long.example/", 61).await?;
    ctx.advance(59).await?;
    check_eq!(get(ctx, &queue, short.id).await?.age_s, 59, "its age a second before");
    ctx.advance_without_sweep(1)?;
    expect_err(subscriptions.subscription_get(&queue, short.id).await, is_missing, "reading it")?;
    let change = UpdateSubscription::new().ttl(span(600));
    let changed = subscriptions.subscription_update(&queue, short.id, change).await;
    expect_err(changed, is_missing, "prolonging it")?;
    let confirmed = subscriptions.subscription_confirm(&queue, short.id, true).await;
    expect_err(confirmed, is_missing, "confirming it")?;
    let found = subscriptions.subscription_find(&queue, &short.subscriber).await?;
    check_eq!(found, None, "found by its address");
    let listed = subscriptions.subscription_list(&queue, None, limit(10)?).await?;
    check_eq!(only(&listed.items)?.id, long.id, "listed");
    subscriptions.subscription_delete(&queue, short.id).await?;
    Ok(())
}

async fn expired_subscription_frees_its_address(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("freed").await?;
    let old = create(ctx, &queue, "http://a.example/", 60).await?;
    create(ctx, &queue, "http://b.example/", 60).await?;
    ctx.advance_without_sweep(60)?;
    let new = create(ctx, &queue, "http://a.example/", 3_600).await?;
    check!(new.id > old.id, "the new subscription took the id {} again", old.id);
    let change = UpdateSubscription::new().subscriber("http://b.example/".to_owned());
    ctx.data.subscriptions().subscription_update(&queue, new.id, change).await?;
    ctx.advance(1_000).await?;
    gc(ctx, 300).await?;
    let read = get(ctx, &queue, new.id).await?;
    check_eq!(read.subscriber, "http://b.example/", "the address after a collection");
    Ok(())
}

async fn update_changes_what_is_named(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("changed").await?;
    let subscriptions = ctx.data.subscriptions();
    let made = create(ctx, &queue, "http://a.example/", 3_600).await?;
    ctx.advance(100).await?;
    let options = object(r#"{"a": 1}"#)?;
    let change = UpdateSubscription::new().options(options.clone());
    subscriptions.subscription_update(&queue, made.id, change).await?;
    let read = get(ctx, &queue, made.id).await?;
    check_eq!((&read.options, &read.subscriber), (&options, &made.subscriber), "after options");
    check_eq!((read.ttl, read.expires_at), (made.ttl, made.expires_at), "its life after options");
    let change = UpdateSubscription::new().subscriber("http://b.example/".to_owned());
    subscriptions.subscription_update(&queue, made.id, change).await?;
    let read = get(ctx, &queue, made.id).await?;
    check_eq!((read.subscriber.as_str(), &read.options), ("http://b.example/", &options), "moved");
    let found = subscriptions.subscription_find(&queue, "http://a.example/").await?;
    check_eq!(found, None, "found by the old address");
    let change = UpdateSubscription::new().ttl(span(60));
    subscriptions.subscription_update(&queue, made.id, change).await?;
    let read = get(ctx, &queue, made.id).await?;
    let now = zaqar_core::Clock::now(&*ctx.clock);
    check_eq!((read.ttl, read.expires_at), (span(60), now.after(span(60))), "its new life");
    ctx.advance(60).await?;
    let over = subscriptions.subscription_get(&queue, made.id).await;
    expect_err(over, is_missing, "reading it after its new life")?;
    Ok(())
}

async fn update_to_a_taken_address_is_refused(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("taken").await?;
    let subscriptions = ctx.data.subscriptions();
    let first = create(ctx, &queue, "http://a.example/", 3_600).await?;
    let second = create(ctx, &queue, "http://b.example/", 3_600).await?;
    let change = UpdateSubscription::new()
        .subscriber("http://a.example/".to_owned())
        .ttl(span(60))
        .options(object(r#"{"x": 1}"#)?);
    let changed = subscriptions.subscription_update(&queue, second.id, change).await;
    expect_err(changed, is_taken, "an update to a taken address")?;
    check_eq!(get(ctx, &queue, second.id).await?, second, "the second, afterwards");
    check_eq!(get(ctx, &queue, first.id).await?, first, "the first, afterwards");
    let same = UpdateSubscription::new().subscriber("http://b.example/".to_owned());
    subscriptions.subscription_update(&queue, second.id, same).await?;
    subscriptions.subscription_delete(&queue, first.id).await?;
    let free = UpdateSubscription::new().subscriber("http://a.example/".to_owned());
    subscriptions.subscription_update(&queue, second.id, free).await?;
    Ok(())
}

async fn new_address_must_confirm_anew(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("anew").await?;
    let subscriptions = ctx.data.subscriptions();
    let mut new = NewSubscription::new("http://a.example/", span(3_600));
    new.needs_confirmation = true;
    let id = subscriptions.subscription_create(&queue, new).await?.into_inner().id;
    subscriptions.subscription_confirm(&queue, id, true).await?;
    let change = UpdateSubscription::new().ttl(span(7_200)).options(object(r#"{"x": 1}"#)?);
    subscriptions.subscription_update(&queue, id, change).await?;
    check!(get(ctx, &queue, id).await?.confirmed, "a change of ttl took the confirmation");
    let change = UpdateSubscription::new().subscriber("http://b.example/".to_owned());
    subscriptions.subscription_update(&queue, id, change).await?;
    let read = get(ctx, &queue, id).await?;
    check!(!read.confirmed && !read.is_active(), "a new address is confirmed: {read:?}");
    for (address, needs, then) in [
        ("http://c.example/", Some(false), false),
        ("http://d.example/", None, false),
        ("http://e.example/", Some(true), true),
        // The address stays, and so does what it needs.
        ("http://e.example/", Some(false), true),
    ] {
        let change = UpdateSubscription::new().subscriber(address.to_owned());
        let change = change.needs_confirmation(needs);
        subscriptions.subscription_update(&queue, id, change).await?;
        let read = get(ctx, &queue, id).await?;
        check_eq!((read.needs_confirmation, read.is_active()), (then, !then), "{address}");
    }
    Ok(())
}

async fn confirmation_is_set_and_cleared(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("confirmed").await?;
    let id = create(ctx, &queue, "http://a.example/", 3_600).await?.id;
    check!(!get(ctx, &queue, id).await?.confirmed, "a new subscription is confirmed");
    for confirmed in [true, true, false, false, true] {
        ctx.data.subscriptions().subscription_confirm(&queue, id, confirmed).await?;
        check_eq!(get(ctx, &queue, id).await?.confirmed, confirmed, "the flag");
    }
    Ok(())
}

async fn deleted_subscription_is_gone(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("deleted").await?;
    let subscriptions = ctx.data.subscriptions();
    let made = create(ctx, &queue, "http://a.example/", 3_600).await?;
    let kept = create(ctx, &queue, "http://b.example/", 3_600).await?;
    subscriptions.subscription_delete(&queue, made.id).await?;
    subscriptions.subscription_delete(&queue, made.id).await?;
    expect_err(subscriptions.subscription_get(&queue, made.id).await, is_missing, "reading it")?;
    let found = subscriptions.subscription_find(&queue, &made.subscriber).await?;
    check_eq!(found, None, "found by its address");
    let listed = subscriptions.subscription_list(&queue, None, limit(10)?).await?;
    check_eq!(only(&listed.items)?, &kept, "listed");
    let again = create(ctx, &queue, "http://a.example/", 3_600).await?;
    check!(again.id > kept.id, "an id was given out again: {}", again.id);
    Ok(())
}

async fn missing_subscription_is_not_found(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("missing").await?;
    let subscriptions = ctx.data.subscriptions();
    let last = zaqar_core::limits::SEQUENCE_MAX;
    for sequence in [0, 1, 77, last] {
        let id = SubscriptionId::new(queue.incarnation, sequence)?;
        expect_err(subscriptions.subscription_get(&queue, id).await, is_missing, "reading")?;
        let change = UpdateSubscription::new().ttl(span(60));
        let changed = subscriptions.subscription_update(&queue, id, change).await;
        expect_err(changed, is_missing, "changing")?;
        let confirmed = subscriptions.subscription_confirm(&queue, id, true).await;
        expect_err(confirmed, is_missing, "confirming")?;
        subscriptions.subscription_delete(&queue, id).await?;
    }
    Ok(())
}

async fn other_queues_id_is_not_found(ctx: &Context) -> CaseResult {
    let (queue, other) = (ctx.queue("one").await?, ctx.queue("other").await?);
    let subscriptions = ctx.data.subscriptions();
    let made = create(ctx, &queue, "http://a.example/", 3_600).await?;
    // The other queue has one of the same number, which must not be meant either.
    let neighbour = create(ctx, &other, "http://a.example/", 3_600).await?;
    let id = made.id;
    expect_err(subscriptions.subscription_get(&other, id).await, is_missing, "reading")?;
    let change = UpdateSubscription::new().ttl(span(60));
    let changed = subscriptions.subscription_update(&other, id, change).await;
    expect_err(changed, is_missing, "changing")?;
    let confirmed = subscriptions.subscription_confirm(&other, id, true).await;
    expect_err(confirmed, is_missing, "confirming")?;
    subscriptions.subscription_delete(&other, id).await?;
    check_eq!(get(ctx, &queue, id).await?, made, "the subscription, afterwards");
    check_eq!(get(ctx, &other, neighbour.id).await?, neighbour, "its neighbour, afterwards");
    Ok(())
}

async fn purge_removes_every_one(ctx: &Context) -> CaseResult {
    let (queue, other) = (ctx.queue("purged").await?, ctx.queue("other").await?);
    for number in 0..25 {
        create(ctx, &queue, &format!("http://{number}.example/"), 3_600).await?;
    }
    let kept = create(ctx, &other, "http://0.example/", 3_600).await?;
    let subscriptions = ctx.data.subscriptions();
    subscriptions.subscription_purge(&queue).await?;
    let listed = subscriptions.subscription_list(&queue, None, limit(100)?).await?;
    check!(listed.items.is_empty(), "subscriptions are left: {:?}", listed.items);
    let found = subscriptions.subscription_find(&queue, "http://0.example/").await?;
    check_eq!(found, None, "found by address");
    check_eq!(get(ctx, &other, kept.id).await?, kept, "the other queue's");
    subscriptions.subscription_purge(&queue).await?;
    create(ctx, &queue, "http://0.example/", 3_600).await?;
    Ok(())
}
