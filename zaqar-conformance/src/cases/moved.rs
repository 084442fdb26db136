//! Messages that arrive from another queue: their id, place and life in the target (G10).

use zaqar_core::{Created, ListMessages, MessageId, MessageMarker, MovedMessage, QueueRef};

use super::dead_letter::{lease, parked};
use super::support::{everything, gc, ids, is_no_message, limit, needs, nth, only, pick, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    moved_message_stands_at_the_tail = "moved.insert.at_the_tail" {
        level: Extended(DeadLetter),
        guarantees: [G9, G10],
        methods: ["message_insert_moved", "message_list"],
        summary: "A moved message takes a place of its own at the tail, where readers past all others still meet it.",
    }
    moved_message_keeps_its_id = "moved.read.by_its_id" {
        level: Extended(DeadLetter),
        guarantees: [G4, G10],
        methods: ["message_insert_moved", "message_get", "message_bulk_get", "message_list", "message_first"],
        summary: "A moved message is read under the id that it always had, body, count and time of post kept.",
    }
    moved_message_is_deleted_by_its_id = "moved.delete.by_its_id" {
        level: Extended(DeadLetter),
        guarantees: [G6, G10],
        methods: ["message_delete", "message_bulk_delete", "claim_create"],
        summary: "A moved message is deleted by its id, freely or under its claim.",
    }
    moved_id_is_a_marker = "moved.marker.its_id" {
        level: Extended(DeadLetter),
        guarantees: [G9, G10],
        methods: ["message_list"],
        summary: "The id and the marker of a moved message both mean after its place in the target.",
    }
    life_starts_at_arrival = "moved.expiry.from_arrival" {
        level: Extended(DeadLetter),
        guarantees: [G8, G10],
        methods: ["message_insert_moved", "message_get"],
        summary: "A moved message lives for its new ttl from its arrival, shown and real, whatever its old one was.",
    }
    inserting_twice_stores_once = "moved.insert.twice" {
        level: Extended(DeadLetter),
        guarantees: [G3, G10],
        methods: ["message_insert_moved"],
        summary: "Inserting a message again answers its old position and stores nothing, at either node.",
    }
    consumed_message_is_not_inserted_again = "moved.insert.after_consumption" {
        level: Extended(DeadLetter),
        guarantees: [G4, G10],
        methods: ["message_insert_moved", "message_delete", "message_pop"],
        summary: "A repeated insert does not bring back what a consumer of the target deleted meanwhile.",
    }
    moved_message_dies_again = "moved.redrive.onwards" {
        level: Extended(DeadLetter),
        guarantees: [G10],
        methods: ["claim_create", "transfer_lease", "message_insert_moved"],
        summary: "A moved message can be claimed, released and parked again on its way to a third queue.",
    }
    parked_message_outlives_its_ttl = "dead_letter.park.outlives_its_ttl" {
        level: Extended(DeadLetter),
        guarantees: [G1, G10],
        methods: ["transfer_lease", "message_get", "gc"],
        summary: "A parked message waits for its target beyond its own ttl: nothing collects it on its way.",
    }
    purge_of_the_source_drops_transfers = "dead_letter.purge.drops_transfers" {
        level: Extended(DeadLetter),
        guarantees: [G4, G10],
        methods: ["message_purge", "transfer_lease", "outbox_backlog"],
        summary: "Purging the source removes its parked messages, and nobody carries them over later.",
    }
    close_of_the_source_drops_transfers = "dead_letter.close.drops_transfers" {
        level: Extended(DeadLetter),
        guarantees: [G10, G11],
        methods: ["head_close", "transfer_lease"],
        summary: "Closing the source's incarnation ends its transfers.",
    }
}

/// A message of number `sequence` of another queue's incarnation.
async fn foreign(ctx: &Context, n: u64) -> Result<Vec<MovedMessage>, Failure> {
    let elsewhere = ctx.queue("elsewhere").await?;
    let posted_at = zaqar_core::Clock::now(&*ctx.clock);
    let message = |number: u64| {
        Ok(MovedMessage {
            id: MessageId::new(elsewhere.incarnation, number + 1)?,
            body: Context::body(usize::try_from(number).unwrap_or(0)),
            ttl: span(3_600),
            claim_count: 5,
            posted_at,
            checksum: None,
            source: elsewhere.key.name.clone(),
            last_claim: None,
        })
    };
    (0..n).map(message).collect()
}

/// Inserts a message that is not there yet and returns its position.
async fn insert(
    ctx: &Context,
    queue: &QueueRef,
    message: &MovedMessage,
) -> Result<MessageMarker, Failure> {
    match ctx.data.messages().message_insert_moved(queue, message.clone()).await? {
        Created::New(marker) => Ok(marker),
        Created::Existing(marker) => {
            Err(Failure::broken(format!("a message never inserted is at {marker}")))
        }
    }
}

async fn moved_message_stands_at_the_tail(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("target").await?;
    let first = ctx.post_n(&queue, 2, 86_400).await?;
    let messages = ctx.data.messages();
    let page = messages.message_list(&queue, ListMessages::new()).await?;
    let moved = foreign(ctx, 1).await?;
    let marker = insert(ctx, &queue, only(&moved)?).await?;
    let last = ctx.post_n(&queue, 2, 86_400).await?;
    let wanted = [first, vec![only(&moved)?.id], last].concat();
    let listed = ctx.list_all(&queue).await?;
    check_eq!(ids(&listed), wanted, "the queue's order");
    check_eq!(nth(&listed, 2)?.marker, marker, "the position of the moved message");
    check!(listed.is_sorted_by(|a, b| a.marker < b.marker), "positions do not ascend: {listed:?}");
    let after = ctx.walk(&queue, ListMessages::new().marker(page.next)).await?;
    check_eq!(ids(&after), pick(&wanted, [2, 3, 4])?, "what a reader past the others meets");
    let popped = messages.message_pop(&queue, limit(3)?).await?;
    check_eq!(ids(&popped), pick(&wanted, 0..3)?, "the order of a pop");
    Ok(())
}

async fn moved_message_keeps_its_id(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("target").await?;
    let mut moved = foreign(ctx, 1).await?;
    if let Some(message) = moved.first_mut() {
        message.checksum = Some("MD5:0cc175b9c0f1b6a831c399e269772661".to_owned());
    }
    let message = only(&moved)?;
    ctx.advance(500).await?;
    let marker = insert(ctx, &queue, message).await?;
    let read = ctx.data.messages().message_get(&queue, message.id).await?;
    check_eq!((read.id, read.marker), (message.id, marker), "id and position");
    check_eq!(read.body, message.body, "the body");
    check_eq!((read.claim, read.claim_count), (None, 5), "claim and count");
    check_eq!((read.ttl, read.posted_at), (span(3_600), message.posted_at), "ttl, time of post");
    check_eq!(read.checksum, message.checksum, "the checksum");
    let messages = ctx.data.messages();
    let found = messages.message_bulk_get(&queue, &[message.id]).await?;
    check_eq!(*only(&found)?, read, "a bulk read");
    check_eq!(*only(&ctx.list_all(&queue).await?)?, read, "a listing");
    let first = messages.message_first(&queue, zaqar_core::QueueEnd::Oldest).await?;
    check_eq!(first, Some(read), "the oldest message");
    // Its position names nothing as an id: that place was never posted to.
    let by_place = messages.message_get(&queue, MessageId::from(marker)).await;
    match by_place {
        Ok(other) => check_eq!(other.id, message.id, "what its position names as an id"),
        Err(error) => check!(is_no_message(&error), "its position as an id: {error:?}"),
    }
    Ok(())
}

async fn moved_message_is_deleted_by_its_id(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::Claims)?;
    let queue = ctx.queue("target").await?;
    let moved = foreign(ctx, 4).await?;
    let mut wanted = Vec::new();
    for message in &moved {
        insert(ctx, &queue, message).await?;
        wanted.push(message.id);
    }
    let messages = ctx.data.messages();
    messages.message_delete(&queue, *nth(&wanted, 3)?, None).await?;
    let (claim, taken) = ctx.claim(&queue, 600, 0, 2).await?;
    check_eq!(ids(&taken), pick(&wanted, [0, 1])?, "what a claim takes");
    check!(taken.iter().all(|message| message.claim_count == 6), "counts are not 6: {taken:?}");
    messages.message_delete(&queue, *nth(&wanted, 0)?, Some(claim)).await?;
    messages.message_bulk_delete(&queue, &pick(&wanted, [1])?, Some(&[claim])).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&wanted, [2])?, "what is left");
    Ok(())
}

async fn moved_id_is_a_marker(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("target").await?;
    ctx.post_n(&queue, 3, 86_400).await?;
    let moved = foreign(ctx, 1).await?;
    let marker = insert(ctx, &queue, only(&moved)?).await?;
    let last = ctx.post_n(&queue, 3, 86_400).await?;
    for after in [marker, MessageMarker::from(only(&moved)?.id)] {
        let walked = ctx.walk(&queue, everything().marker(after)).await?;
        check_eq!(ids(&walked), last, "what follows the moved message");
    }
    Ok(())
}

async fn life_starts_at_arrival(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("target").await?;
    let moved = foreign(ctx, 1).await?;
    let message = only(&moved)?;
    // Longer than the new ttl: by its first post the message would be dead on arrival.
    ctx.advance(10_000).await?;
    insert(ctx, &queue, message).await?;
    let messages = ctx.data.messages();
    let read = messages.message_get(&queue, message.id).await?;
    check_eq!(read.ttl, span(3_600), "the ttl shown");
    ctx.advance(3_599).await?;
    gc(ctx, 0).await?;
    messages.message_get(&queue, message.id).await?;
    ctx.advance(1).await?;
    let after = messages.message_get(&queue, message.id).await;
    expect_err(after, is_no_message, "the message after its new life")?;
    check!(ctx.list_all(&queue).await?.is_empty(), "it is listed after its new life");
    Ok(())
}

async fn inserting_twice_stores_once(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("target").await?;
    let other = ctx.second_handle().await?;
    let moved = foreign(ctx, 2).await?;
    let mut markers = Vec::new();
    for message in &moved {
        markers.push(insert(ctx, &queue, message).await?);
    }
    ctx.post_n(&queue, 1, 86_400).await?;
    for node in [ctx, &other] {
        for (message, marker) in moved.iter().zip(&markers) {
            let again = node.data.messages().message_insert_moved(&queue, message.clone()).await?;
            check_eq!(again, Created::Existing(*marker), "a repeated insert");
        }
    }
    check_eq!(ctx.list_all(&queue).await?.len(), 3, "messages in the target");
    other.close().await;
    Ok(())
}

async fn consumed_message_is_not_inserted_again(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("target").await?;
    let moved = foreign(ctx, 2).await?;
    for message in &moved {
        insert(ctx, &queue, message).await?;
    }
    let messages = ctx.data.messages();
    messages.message_delete(&queue, nth(&moved, 0)?.id, None).await?;
    messages.message_pop(&queue, limit(1)?).await?;
    for message in &moved {
        let again = messages.message_insert_moved(&queue, message.clone()).await?;
        check!(!again.is_new(), "a consumed message was inserted again");
    }
    check!(ctx.list_all(&queue).await?.is_empty(), "a consumed message came back");
    Ok(())
}

async fn moved_message_dies_again(ctx: &Context) -> CaseResult {
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    let posted = parked(ctx, &source, 1).await?;
    let transfers = lease(ctx).await?;
    insert(ctx, &dead, &only(&transfers)?.message).await?;
    ctx.data.outbox().transfer_complete(only(&transfers)?).await?;

    let third = zaqar_core::Redrive {
        claims_max: 3,
        target: zaqar_core::QueueName::new("third")?,
        ttl: span(7_200),
    };
    let (claim, claimed) = super::support::claim_redriven(ctx, &dead, 60, 1, &third).await?;
    check_eq!(ids(&claimed.messages), posted, "the third delivery, at the target");
    ctx.data.claims().claim_delete(&dead, claim).await?;
    let (_, claimed) = super::support::claim_redriven(ctx, &dead, 60, 1, &third).await?;
    check_eq!((claimed.messages.len(), claimed.parked), (0, 1), "delivered and parked");
    let transfers = lease(ctx).await?;
    let transfer = only(&transfers)?;
    check_eq!(transfer.source, dead, "the second source");
    check_eq!(transfer.message.id, *only(&posted)?, "the id on the second way");
    let last = ctx.queue("third").await?;
    insert(ctx, &last, &transfer.message).await?;
    ctx.data.outbox().transfer_complete(transfer).await?;
    check!(ctx.list_all(&dead).await?.is_empty(), "the second source still holds it");
    check_eq!(ids(&ctx.list_free(&last).await?), posted, "the third queue");
    Ok(())
}

async fn parked_message_outlives_its_ttl(ctx: &Context) -> CaseResult {
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    let posted = parked(ctx, &source, 2).await?;
    for _ in 0..3 {
        ctx.advance(86_400).await?;
        gc(ctx, 0).await?;
        ctx.data.messages().message_get(&source, *nth(&posted, 0)?).await?;
    }
    for transfer in lease(ctx).await? {
        insert(ctx, &dead, &transfer.message).await?;
        ctx.data.outbox().transfer_complete(&transfer).await?;
    }
    check_eq!(ids(&ctx.list_free(&dead).await?), posted, "the target, days later");
    check!(ctx.list_all(&source).await?.is_empty(), "the source still holds a copy");
    Ok(())
}

async fn purge_of_the_source_drops_transfers(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("source").await?;
    parked(ctx, &queue, 3).await?;
    ctx.data.messages().message_purge(&queue).await?;
    check!(lease(ctx).await?.is_empty(), "purged messages are still on their way");
    check!(ctx.list_all(&queue).await?.is_empty(), "purged messages are still listed");
    ctx.advance(1_000).await?;
    gc(ctx, 0).await?;
    check_eq!(ctx.data.outbox().outbox_backlog().await?.transfers, 0, "transfers that wait");
    Ok(())
}

async fn close_of_the_source_drops_transfers(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("source").await?;
    parked(ctx, &queue, 3).await?;
    ctx.delete_queue(&queue).await?;
    check!(lease(ctx).await?.is_empty(), "a closed incarnation's messages are on their way");
    ctx.advance(1_000).await?;
    gc(ctx, 0).await?;
    check!(lease(ctx).await?.is_empty(), "a collected incarnation's messages are on their way");
    check_eq!(ctx.data.outbox().outbox_backlog().await?.transfers, 0, "transfers that wait");
    Ok(())
}
