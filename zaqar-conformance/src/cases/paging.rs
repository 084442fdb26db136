//! Paging through messages: every message once, whatever stands between (G9).

use zaqar_core::{ClientId, Incarnation, ListMessages, MessageId, MessageMarker, PostMessages};

use super::support::{everything, ids, limit, needs, nth, only, pick, post_many};
use crate::case::{CaseResult, cases, check, check_eq};
use crate::context::Context;

cases! {
    walk_shows_each_message_once = "paging.walk.each_once" {
        level: Core,
        guarantees: [G9],
        methods: ["message_list"],
        summary: "Following markers shows every message once and in order, whatever the page size.",
    }
    last_page_has_a_marker = "paging.page.last_has_a_marker" {
        level: Core,
        guarantees: [G9],
        methods: ["message_list"],
        summary: "A page that holds a message has a next marker, the last one too; what is posted later follows it.",
    }
    first_message_is_a_marker = "paging.marker.first_message" {
        level: Core,
        guarantees: [G9],
        methods: ["message_list"],
        summary: "The marker of the very first message leads to the second.",
    }
    id_is_a_marker = "paging.marker.message_id" {
        level: Core,
        guarantees: [G9],
        methods: ["message_list"],
        summary: "A message's id, taken as a marker, means after that message.",
    }
    deleted_message_is_a_marker = "paging.marker.deleted_message" {
        level: Core,
        guarantees: [G9],
        methods: ["message_list", "message_delete"],
        summary: "The marker of a deleted message stays a place: it neither restarts nor ends the listing.",
    }
    expired_message_is_a_marker = "paging.marker.expired_message" {
        level: Core,
        guarantees: [G9, G8],
        methods: ["message_list", "gc"],
        summary: "The marker of an expired message stays a place, also once gc removed the message.",
    }
    marker_beyond_the_end_is_the_end = "paging.marker.beyond_the_end" {
        level: Core,
        guarantees: [G9],
        methods: ["message_list"],
        summary: "After the last position a listing is at its end.",
    }
    foreign_marker_starts_over = "paging.marker.other_incarnation" {
        level: Core,
        guarantees: [G9, G11],
        methods: ["message_list"],
        summary: "A marker that another incarnation gave out means from the start.",
    }
    claimed_messages_use_no_room = "paging.filter.claimed_ahead" {
        level: Extended(Claims),
        guarantees: [G9],
        methods: ["message_list", "claim_create"],
        summary: "Twenty-five claimed messages ahead of a free one do not hide it from a page of ten.",
    }
    hidden_client_uses_no_room = "paging.filter.client_ahead" {
        level: Core,
        guarantees: [G9],
        methods: ["message_list"],
        summary: "Three thousand own messages ahead of another's do not hide it from a page of ten.",
    }
    delayed_messages_use_no_room = "paging.filter.delayed_ahead" {
        level: Extended(Delay),
        guarantees: [G9],
        methods: ["message_list"],
        summary: "Twenty-five delayed messages ahead of a free one do not hide it from a page of ten.",
    }
    expired_messages_use_no_room = "paging.filter.expired_ahead" {
        level: Core,
        guarantees: [G9, G8],
        methods: ["message_list"],
        summary: "Three thousand expired messages ahead of a live one do not hide it from a page of ten.",
    }
    claiming_changes_no_order = "paging.filter.include_claimed_keeps_order" {
        level: Extended(Claims),
        guarantees: [G9],
        methods: ["message_list", "claim_create", "claim_delete"],
        summary: "A listing that includes claimed messages is the same before, under and after a claim.",
    }
    filters_combine = "paging.filter.combined" {
        level: Extended(Claims),
        guarantees: [G9],
        methods: ["message_list"],
        summary: "Hiding a client and including claimed or delayed messages combine, page by page.",
    }
    walk_during_changes_skips_nothing = "paging.walk.during_changes" {
        level: Core,
        guarantees: [G9],
        methods: ["message_list", "message_post", "message_delete"],
        summary: "A walk between posts and deletes shows every message that lived throughout, once.",
    }
    reader_passes_nobody = "paging.walk.among_producers" {
        level: Core,
        guarantees: [G9],
        methods: ["message_list", "message_post"],
        summary: "A reader that follows markers while many producers post at two nodes meets every message.",
    }
}

async fn walk_shows_each_message_once(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("walked").await?;
    let posted = ctx.post_n(&queue, 25, 300).await?;
    for size in [1, 2, 7, 10, 24, 25, 26, 1_000] {
        let walked = ctx.walk(&queue, everything().limit(limit(size)?)).await?;
        check_eq!(ids(&walked), posted, "a walk in pages of {size}");
        let first = ctx.data.messages().message_list(&queue, everything().limit(limit(size)?));
        let wanted = pick(&posted, 0..posted.len().min(limit(size)?.as_usize()))?;
        check_eq!(ids(&first.await?.items), wanted, "the first page of {size}");
    }
    Ok(())
}

async fn last_page_has_a_marker(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("ended").await?;
    ctx.post_n(&queue, 3, 300).await?;
    let messages = ctx.data.messages();
    let page = messages.message_list(&queue, ListMessages::new()).await?;
    check!(page.next.is_some(), "the last page has no marker");
    check_eq!(page.next, page.items.last().map(|m| m.marker), "the marker of the last page");
    let after = ListMessages::new().marker(page.next);
    let end = messages.message_list(&queue, after.clone()).await?;
    check!(end.items.is_empty(), "the page after the last holds {:?}", end.items);
    let late = ctx.post_n(&queue, 2, 300).await?;
    check_eq!(ids(&messages.message_list(&queue, after).await?.items), late, "what came later");
    Ok(())
}

async fn first_message_is_a_marker(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("head").await?;
    let posted = ctx.post_n(&queue, 3, 300).await?;
    let messages = ctx.data.messages();
    let one = limit(1)?;
    let first = messages.message_list(&queue, ListMessages::new().limit(one)).await?;
    check_eq!(ids(&first.items), pick(&posted, [0])?, "the first page of one");
    let second = ListMessages::new().limit(one).marker(first.next);
    let second = messages.message_list(&queue, second).await?;
    check_eq!(ids(&second.items), pick(&posted, [1])?, "the second page of one");
    Ok(())
}

async fn id_is_a_marker(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("named").await?;
    let posted = ctx.post_n(&queue, 5, 300).await?;
    for index in 0..5 {
        let options = everything().marker(MessageMarker::from(*nth(&posted, index)?));
        let wanted = pick(&posted, index + 1..5)?;
        check_eq!(ids(&ctx.walk(&queue, options).await?), wanted, "after message {index}");
    }
    Ok(())
}

async fn deleted_message_is_a_marker(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("holes").await?;
    let posted = ctx.post_n(&queue, 20, 300).await?;
    let messages = ctx.data.messages();
    let page = messages.message_list(&queue, ListMessages::new().limit(limit(5)?)).await?;
    messages.message_bulk_delete(&queue, &pick(&posted, 0..5)?, None).await?;
    let options = ListMessages::new().marker(page.next);
    check_eq!(ids(&ctx.walk(&queue, options).await?), pick(&posted, 5..20)?, "the rest");
    let gone = *nth(&posted, 12)?;
    messages.message_delete(&queue, gone, None).await?;
    let options = ListMessages::new().marker(MessageMarker::from(gone));
    check_eq!(ids(&ctx.walk(&queue, options).await?), pick(&posted, 13..20)?, "after a hole");
    Ok(())
}

async fn expired_message_is_a_marker(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("lapsed").await?;
    let short = ctx.post_n(&queue, 5, 60).await?;
    let long = ctx.post_n(&queue, 5, 10_000).await?;
    let marker = MessageMarker::from(*nth(&short, 2)?);
    ctx.advance(60).await?;
    let options = ListMessages::new().marker(marker);
    check_eq!(ids(&ctx.walk(&queue, options.clone()).await?), long, "after an expired message");
    ctx.advance(1_000).await?;
    super::support::gc(ctx, 300).await?;
    check_eq!(ids(&ctx.walk(&queue, options).await?), long, "after a collected message");
    Ok(())
}

async fn marker_beyond_the_end_is_the_end(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("beyond").await?;
    ctx.post_n(&queue, 3, 300).await?;
    for sequence in [1_000, zaqar_core::limits::SEQUENCE_MAX] {
        let marker = MessageMarker::new(queue.incarnation, sequence)?;
        let found = ctx.walk(&queue, everything().marker(marker)).await?;
        check!(found.is_empty(), "after position {sequence} stands {found:?}");
    }
    let zero = MessageMarker::new(queue.incarnation, 0)?;
    check_eq!(ctx.walk(&queue, everything().marker(zero)).await?.len(), 3, "after position 0");
    Ok(())
}

async fn foreign_marker_starts_over(ctx: &Context) -> CaseResult {
    let old = ctx.queue("reborn").await?;
    let olds = ctx.post_n(&old, 20, 300).await?;
    ctx.delete_queue(&old).await?;
    let new = ctx.queue("reborn").await?;
    let posted = ctx.post_n(&new, 5, 300).await?;
    let elsewhere = ctx.queue("elsewhere").await?;
    let others = ctx.post_n(&elsewhere, 3, 300).await?;
    let unknown = Incarnation::new(zaqar_core::limits::INCARNATION_MAX)?;
    for marker in [
        MessageMarker::from(*nth(&olds, 19)?),
        MessageMarker::from(*nth(&others, 2)?),
        MessageMarker::new(unknown, 3)?,
    ] {
        let walked = ctx.walk(&new, ListMessages::new().marker(marker)).await?;
        check_eq!(ids(&walked), posted, "after a marker of another incarnation");
    }
    Ok(())
}

async fn claimed_messages_use_no_room(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("ahead").await?;
    let posted = ctx.post_n(&queue, 26, 300).await?;
    ctx.claim(&queue, 200, 60, 25).await?;
    let page = ctx.data.messages().message_list(&queue, ListMessages::new()).await?;
    check_eq!(ids(&page.items), pick(&posted, [25])?, "the first page");
    Ok(())
}

async fn hidden_client_uses_no_room(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("ahead").await?;
    let client = ClientId::new("own")?;
    for _ in 0..3 {
        let batch = (0..1_000).map(|number| Context::message(number, 300)).collect();
        let options = PostMessages::new().client(client.clone());
        ctx.data.messages().message_post(&queue, batch, options).await?;
    }
    let other = ctx.post_n(&queue, 1, 300).await?;
    let options = ListMessages::new().hide_client(client);
    let page = ctx.data.messages().message_list(&queue, options.clone()).await?;
    check!(!page.items.is_empty(), "a page is empty although a message follows");
    check_eq!(ids(&page.items), other, "the first page that a client is shown");
    check_eq!(ids(&ctx.walk(&queue, options).await?), other, "the walk");
    Ok(())
}

async fn delayed_messages_use_no_room(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("ahead").await?;
    super::support::post_delayed(ctx, &queue, 25, 300, 100).await?;
    let free = ctx.post_n(&queue, 1, 300).await?;
    let page = ctx.data.messages().message_list(&queue, ListMessages::new()).await?;
    check_eq!(ids(&page.items), free, "the first page");
    Ok(())
}

async fn expired_messages_use_no_room(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("ahead").await?;
    post_many(ctx, &queue, 3_000, |number| Context::message(number, 60)).await?;
    let live = ctx.post_n(&queue, 1, 300).await?;
    ctx.advance_without_sweep(60)?;
    for options in [ListMessages::new(), everything()] {
        let page = ctx.data.messages().message_list(&queue, options).await?;
        check_eq!(ids(&page.items), live, "the first page");
    }
    Ok(())
}

async fn claiming_changes_no_order(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("kept").await?;
    let posted = ctx.post_n(&queue, 12, 300).await?;
    let options = ListMessages::new().include_claimed(true).limit(limit(5)?);
    check_eq!(ids(&ctx.walk(&queue, options.clone()).await?), posted, "before a claim");
    let (claim, taken) = ctx.claim(&queue, 200, 60, 10).await?;
    check_eq!(taken.len(), 10, "messages claimed");
    let under = ctx.walk(&queue, options.clone()).await?;
    check_eq!(ids(&under), posted, "under a claim");
    let owners: Vec<bool> = under.iter().map(|message| message.claim == Some(claim)).collect();
    check_eq!(owners, [[true; 10].as_slice(), &[false; 2]].concat(), "who is shown as claimed");
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&posted, [10, 11])?, "the default listing");
    let (_, rest) = ctx.claim(&queue, 200, 60, 10).await?;
    check_eq!(ids(&rest), pick(&posted, [10, 11])?, "the next claim");
    ctx.data.claims().claim_delete(&queue, claim).await?;
    check_eq!(ids(&ctx.walk(&queue, options).await?), posted, "after the release");
    Ok(())
}

async fn filters_combine(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::Delay)?;
    let queue = ctx.queue("mixed").await?;
    let client = ClientId::new("own")?;
    let mut posted: Vec<MessageId> = Vec::new();
    for number in 0..24 {
        let delay = super::support::span(if number % 3 == 0 { 100 } else { 0 });
        let batch = vec![Context::message(number, 300).delay(delay)];
        let own = (number % 2 == 0).then(|| client.clone());
        let options = PostMessages::new().client(own);
        let made = ctx.data.messages().message_post(&queue, batch, options).await?;
        posted.push(*only(&made.ids)?);
    }
    let (_, taken) = ctx.claim(&queue, 200, 60, 6).await?;
    let claimed = ids(&taken);
    let undelayed: Vec<usize> = (0..24).filter(|number| number % 3 != 0).collect();
    let wanted: Vec<usize> = undelayed.into_iter().take(6).collect();
    check_eq!(claimed, pick(&posted, wanted.iter().copied())?, "the messages claimed");
    for bits in 0..8 {
        let (hide, with_claimed, with_delayed) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0);
        let shown = |number: &usize| {
            (!hide || number % 2 == 1)
                && (with_claimed || !wanted.contains(number))
                && (with_delayed || !number.is_multiple_of(3))
        };
        let options = ListMessages::new()
            .limit(limit(3)?)
            .hide_client(hide.then(|| client.clone()))
            .include_claimed(with_claimed)
            .include_delayed(with_delayed);
        let found = ids(&ctx.walk(&queue, options).await?);
        check_eq!(found, pick(&posted, (0..24).filter(shown))?, "filters {bits:03b}");
    }
    Ok(())
}

async fn walk_during_changes_skips_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("busy").await?;
    let posted = ctx.post_n(&queue, 40, 300).await?;
    let messages = ctx.data.messages();
    let mut seen = Vec::new();
    let mut options = everything().limit(limit(7)?);
    let mut doomed = posted.iter().skip(1).step_by(4);
    loop {
        let page = messages.message_list(&queue, options.clone()).await?;
        if page.items.is_empty() {
            break;
        }
        seen.extend(ids(&page.items));
        options = options.marker(page.next);
        if seen.len() < 60 {
            ctx.post_n(&queue, 1, 300).await?;
        }
        // What was just passed and what is still to come: both may go.
        for id in doomed.by_ref().take(2) {
            messages.message_delete(&queue, *id, None).await?;
        }
    }
    check!(seen.is_sorted_by(|a, b| a < b), "a walk went back or repeated itself: {seen:?}");
    for (index, id) in posted.iter().enumerate().filter(|(index, _)| index % 4 != 1) {
        check!(seen.contains(id), "message {index}, live throughout, was passed over");
    }
    Ok(())
}

async fn reader_passes_nobody(ctx: &Context) -> CaseResult {
    const PRODUCERS: usize = 8;
    const POSTS: usize = 25;
    let queue = ctx.queue("raced").await?;
    let other = ctx.second_handle().await?;
    let mut tasks = Vec::new();
    for producer in 0..PRODUCERS {
        let node = if producer % 2 == 0 { ctx.drivers() } else { other.drivers() };
        let queue = queue.clone();
        tasks.push(tokio::spawn(async move {
            let mut posted = Vec::new();
            for post in 0..POSTS {
                let batch = (0..=post % 3).map(|number| Context::message(number, 300)).collect();
                let options = PostMessages::new();
                posted.extend(node.data.messages().message_post(&queue, batch, options).await?.ids);
            }
            Ok::<_, zaqar_core::Error>(posted)
        }));
    }
    let mut seen = Vec::new();
    let mut options = ListMessages::new();
    loop {
        let posting = tasks.iter().any(|task| !task.is_finished());
        let page = ctx.data.messages().message_list(&queue, options.clone()).await?;
        if page.items.is_empty() && !posting {
            break;
        }
        seen.extend(ids(&page.items));
        if page.next.is_some() {
            options = options.marker(page.next);
        }
        tokio::task::yield_now().await;
    }
    check!(seen.is_sorted_by(|a, b| a < b), "the reader went back or met a message twice");
    for task in tasks {
        let posted = task.await.map_err(crate::case::Failure::broken)??;
        check!(posted.is_sorted_by(|a, b| a < b), "one producer's messages changed order");
        for id in posted {
            check!(seen.contains(&id), "the reader passed message {id} over");
        }
    }
    other.close().await;
    Ok(())
}
