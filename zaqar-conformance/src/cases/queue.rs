//! Queue records of the control plane: create, read, change, delete.

use zaqar_core::{
    Created, Error, Incarnation, JsonObject, ListQueues, QueueKey, QueueKind, QueueName,
    QueueRecord, QueueRef, QueueState,
};

use super::support::{limit, nth, object, only};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    create_is_new_then_existing = "queue.create.new_then_existing" {
        level: Core,
        guarantees: [G11],
        methods: ["queue_insert", "queue_find"],
        summary: "The first create of a name makes the record at revision 1; the next finds it and changes nothing.",
    }
    racing_creates_have_one_winner = "queue.create.race_has_one_winner" {
        level: Core,
        guarantees: [G11],
        methods: ["queue_insert"],
        summary: "Of two nodes that create one name at once, one makes it and the other finds it.",
    }
    metadata_is_kept_as_stored = "queue.metadata.kept_as_stored" {
        level: Core,
        guarantees: [],
        methods: ["queue_insert", "queue_find"],
        summary: "Metadata comes back with its values, large integers and key order as they were stored.",
    }
    missing_name_reads_as_none = "queue.find.missing_is_none" {
        level: Core,
        guarantees: [],
        methods: ["queue_find"],
        summary: "A name that was never created has no record.",
    }
    set_metadata_replaces_the_whole = "queue.metadata.replaced_as_a_whole" {
        level: Core,
        guarantees: [],
        methods: ["queue_set_metadata", "queue_find"],
        summary: "Setting metadata replaces all of it and counts the revision up.",
    }
    stale_revision_is_refused = "queue.metadata.stale_revision_refused" {
        level: Core,
        guarantees: [],
        methods: ["queue_set_metadata"],
        summary: "A change made from an outdated revision is refused and changes nothing.",
    }
    metadata_of_another_incarnation_is_refused = "queue.metadata.other_incarnation_refused" {
        level: Core,
        guarantees: [G11],
        methods: ["queue_set_metadata"],
        summary: "A change addressed to another incarnation is refused and changes nothing.",
    }
    metadata_of_a_missing_queue_is_refused = "queue.metadata.missing_queue_refused" {
        level: Core,
        guarantees: [],
        methods: ["queue_set_metadata"],
        summary: "Changing the metadata of a queue that is not there says so and makes none.",
    }
    deleting_reads_as_missing_and_holds_the_name = "queue.delete.marked_holds_the_name" {
        level: Core,
        guarantees: [G11],
        methods: ["queue_mark_deleting", "queue_find", "queue_insert", "queue_list", "queue_count"],
        summary: "A queue marked as deleting is neither listed nor counted, yet nobody can take its name.",
    }
    deleting_takes_no_metadata = "queue.delete.marked_takes_no_metadata" {
        level: Core,
        guarantees: [G11],
        methods: ["queue_set_metadata", "queue_mark_deleting"],
        summary: "The metadata of a queue marked as deleting can no longer be changed.",
    }
    mark_and_remove_name_their_incarnation = "queue.delete.names_its_incarnation" {
        level: Core,
        guarantees: [G11],
        methods: ["queue_mark_deleting", "queue_remove"],
        summary: "The tail of an old delete neither marks nor removes the queue that has the name now.",
    }
    remove_needs_the_mark = "queue.delete.active_is_not_removed" {
        level: Core,
        guarantees: [G11],
        methods: ["queue_remove", "queue_mark_deleting"],
        summary: "Only a queue marked as deleting can be removed; afterwards its name is free.",
    }
    interrupted_deletes_are_listed = "queue.delete.interrupted_are_listed" {
        level: Core,
        guarantees: [G11],
        methods: ["queue_list_deleting", "queue_mark_deleting", "queue_remove"],
        summary: "Queues marked as deleting are found, whatever their project, until they are removed.",
    }
    incarnations_are_never_repeated = "queue.incarnation.never_repeated" {
        level: Core,
        guarantees: [G11],
        methods: ["queue_allocate_incarnation"],
        summary: "Incarnations ascend at each node and no two nodes are handed the same one.",
    }
    queues_and_topics_share_no_name = "queue.kind.names_are_apart" {
        level: Core,
        guarantees: [],
        methods: ["queue_insert", "queue_find", "queue_list", "queue_count", "queue_remove"],
        summary: "A queue and a topic of one name are two things: each is listed, counted and deleted alone.",
    }
}

/// A fresh incarnation under the name `name` of the tenant `main`.
async fn fresh(ctx: &Context, name: &str) -> Result<QueueRef, Failure> {
    let key = QueueKey::queue(ctx.project("main")?, QueueName::new(name)?);
    Ok(key.incarnate(ctx.control.queues().queue_allocate_incarnation().await?))
}

/// The record that must hold the queue's name.
async fn record(ctx: &Context, queue: &QueueRef) -> Result<QueueRecord, Failure> {
    let found = ctx.control.queues().queue_find(&queue.key).await?;
    found.ok_or_else(|| Failure::broken(format!("{} has no record", queue.key.name)))
}

async fn create_is_new_then_existing(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let first = fresh(ctx, "orders").await?;
    let metadata = object(r#"{"owner": "a"}"#)?;
    let made = queues.queue_insert(&first, &metadata).await?;
    check!(made.is_new(), "the first create found {made:?}");
    let wanted = QueueRecord {
        key: first.key.clone(),
        incarnation: first.incarnation,
        metadata,
        revision: 1,
        state: QueueState::Active,
    };
    check_eq!(made.into_inner(), wanted, "the record made");

    let second = fresh(ctx, "orders").await?;
    let found = queues.queue_insert(&second, &object(r#"{"owner": "b"}"#)?).await?;
    check_eq!(found, Created::Existing(wanted.clone()), "the second create");
    check_eq!(record(ctx, &second).await?, wanted, "the record afterwards");
    Ok(())
}

async fn racing_creates_have_one_winner(ctx: &Context) -> CaseResult {
    let other = ctx.second_handle().await?;
    for round in 0..20 {
        let name = format!("raced-{round}");
        let (left, right) = (fresh(ctx, &name).await?, fresh(&other, &name).await?);
        let metadata = JsonObject::new();
        let (a, b) = futures_util::future::join(
            ctx.control.queues().queue_insert(&left, &metadata),
            other.control.queues().queue_insert(&right, &metadata),
        )
        .await;
        let (a, b) = (a?, b?);
        check!(a.is_new() != b.is_new(), "two nodes created {name} at once: {a:?} and {b:?}");
        check_eq!(a.into_inner(), b.into_inner(), "the record that both nodes saw");
    }
    other.close().await;
    Ok(())
}

async fn metadata_is_kept_as_stored(ctx: &Context) -> CaseResult {
    let text = r#"{"z":1,"a":{"y":[1,2.5,null,true],"b":"ü\u0000"},"_ttl":3600,"big":9007199254740993,"neg":-1,"":""}"#;
    let metadata = object(text)?;
    let queue = fresh(ctx, "kept").await?;
    ctx.control.queues().queue_insert(&queue, &metadata).await?;
    let found = record(ctx, &queue).await?;
    // Text shows the order of the keys, which comparing the objects does not.
    let as_text = |value| serde_json::to_string(value).map_err(Failure::broken);
    check_eq!(as_text(&found.metadata)?, as_text(&metadata)?, "the stored metadata");
    Ok(())
}

async fn missing_name_reads_as_none(ctx: &Context) -> CaseResult {
    let queue = fresh(ctx, "never-made").await?;
    check_eq!(ctx.control.queues().queue_find(&queue.key).await?, None, "a name never created");
    Ok(())
}

async fn set_metadata_replaces_the_whole(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let queue = fresh(ctx, "changed").await?;
    queues.queue_insert(&queue, &object(r#"{"a": 1, "b": 2}"#)?).await?;
    let metadata = object(r#"{"c": 3}"#)?;
    let changed = queues.queue_set_metadata(&queue, 1, &metadata).await?;
    check_eq!(changed.metadata, metadata, "the metadata that the change returns");
    check_eq!(changed.revision, 2, "the revision after the first change");
    check_eq!(record(ctx, &queue).await?, changed, "the record that is read");
    let emptied = queues.queue_set_metadata(&queue, 2, &JsonObject::new()).await?;
    check_eq!(emptied.revision, 3, "the revision after the second change");
    check!(emptied.metadata.is_empty(), "emptied metadata holds {:?}", emptied.metadata);
    Ok(())
}

async fn stale_revision_is_refused(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let queue = fresh(ctx, "raced").await?;
    queues.queue_insert(&queue, &JsonObject::new()).await?;
    let winner = queues.queue_set_metadata(&queue, 1, &object(r#"{"by": "winner"}"#)?).await?;
    let late = object(r#"{"by": "loser"}"#)?;
    for revision in [0, 1, 3] {
        let loser = queues.queue_set_metadata(&queue, revision, &late).await;
        let changed = |error: &Error| matches!(error, Error::QueueChanged { .. });
        expect_err(loser, changed, format!("a change from revision {revision} at 2"))?;
    }
    check_eq!(record(ctx, &queue).await?, winner, "the record after refused changes");
    Ok(())
}

async fn metadata_of_another_incarnation_is_refused(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let queue = fresh(ctx, "reborn").await?;
    let stale = fresh(ctx, "reborn").await?;
    let made = queues.queue_insert(&queue, &JsonObject::new()).await?.into_inner();
    let change = queues.queue_set_metadata(&stale, 1, &object(r#"{"by": "stale"}"#)?).await;
    let refused = |error: &Error| {
        matches!(
            error,
            Error::QueueChanged { .. } | Error::QueueGone { .. } | Error::QueueNotFound { .. }
        )
    };
    expect_err(change, refused, "a change addressed to another incarnation")?;
    check_eq!(record(ctx, &queue).await?, made, "the record after the refused change");
    Ok(())
}

async fn metadata_of_a_missing_queue_is_refused(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let queue = fresh(ctx, "never-made").await?;
    let change = queues.queue_set_metadata(&queue, 1, &JsonObject::new()).await;
    let missing = |error: &Error| matches!(error, Error::QueueNotFound { .. });
    expect_err(change, missing, "changing the metadata of a missing queue")?;
    check_eq!(queues.queue_find(&queue.key).await?, None, "the name after the refused change");
    Ok(())
}

async fn deleting_reads_as_missing_and_holds_the_name(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let (queue, kept) = (fresh(ctx, "going").await?, fresh(ctx, "kept").await?);
    for made in [&queue, &kept] {
        queues.queue_insert(made, &JsonObject::new()).await?;
    }
    queues.queue_mark_deleting(&queue).await?;
    queues.queue_mark_deleting(&queue).await?;
    check_eq!(record(ctx, &queue).await?.state, QueueState::Deleting, "the state once marked");

    let project = &queue.key.project;
    let page = queues.queue_list(project, QueueKind::Queue, ListQueues::new()).await?;
    check_eq!(only(&page.items)?.key, kept.key, "the queues listed");
    check_eq!(queues.queue_count(project, QueueKind::Queue).await?, 1, "the queues counted");

    let next = fresh(ctx, "going").await?;
    match queues.queue_insert(&next, &JsonObject::new()).await? {
        Created::Existing(record) if record.incarnation == queue.incarnation => Ok(()),
        other => Err(Failure::broken(format!("a name under deletion was taken: {other:?}"))),
    }
}

async fn deleting_takes_no_metadata(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let queue = fresh(ctx, "going").await?;
    queues.queue_insert(&queue, &JsonObject::new()).await?;
    queues.queue_mark_deleting(&queue).await?;
    let marked = record(ctx, &queue).await?;
    let late = object(r#"{"late": 1}"#)?;
    let change = queues.queue_set_metadata(&queue, marked.revision, &late).await;
    let refused = |error: &Error| {
        matches!(
            error,
            Error::QueueNotFound { .. } | Error::QueueGone { .. } | Error::QueueChanged { .. }
        )
    };
    expect_err(change, refused, "changing a queue that is being deleted")?;
    check_eq!(record(ctx, &queue).await?, marked, "the record after the refused change");
    Ok(())
}

async fn mark_and_remove_name_their_incarnation(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let old = fresh(ctx, "name").await?;
    queues.queue_insert(&old, &JsonObject::new()).await?;
    queues.queue_mark_deleting(&old).await?;
    queues.queue_remove(&old).await?;
    let new = fresh(ctx, "name").await?;
    check!(
        queues.queue_insert(&new, &JsonObject::new()).await?.is_new(),
        "a removed queue's name could not be taken"
    );
    queues.queue_mark_deleting(&old).await?;
    check_eq!(record(ctx, &new).await?.state, QueueState::Active, "the new queue's state");
    queues.queue_mark_deleting(&new).await?;
    queues.queue_remove(&old).await?;
    check_eq!(record(ctx, &new).await?.incarnation, new.incarnation, "the record that is left");
    Ok(())
}

async fn remove_needs_the_mark(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let queue = fresh(ctx, "name").await?;
    queues.queue_remove(&queue).await?;
    queues.queue_mark_deleting(&queue).await?;
    check_eq!(queues.queue_find(&queue.key).await?, None, "a delete of a missing name");
    queues.queue_insert(&queue, &JsonObject::new()).await?;
    queues.queue_remove(&queue).await?;
    check_eq!(record(ctx, &queue).await?.state, QueueState::Active, "the state without a mark");
    queues.queue_mark_deleting(&queue).await?;
    queues.queue_remove(&queue).await?;
    check_eq!(queues.queue_find(&queue.key).await?, None, "the record once removed");
    queues.queue_remove(&queue).await?;
    let again = queues.queue_insert(&fresh(ctx, "name").await?, &JsonObject::new()).await?;
    check!(again.is_new(), "a removed queue's name is not free: {again:?}");
    Ok(())
}

async fn interrupted_deletes_are_listed(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let mut marked = Vec::new();
    for label in ["a", "b", "c"] {
        let project = ctx.project(label)?;
        let queue = ctx.queue_in(&project, "going").await?;
        ctx.queue_in(&project, "staying").await?;
        check!(
            queues.queue_list_deleting(limit(1_000)?).await?.len() == marked.len(),
            "an active queue is listed as being deleted"
        );
        queues.queue_mark_deleting(&queue).await?;
        marked.push(queue);
    }
    let mut found: Vec<QueueRef> = queues
        .queue_list_deleting(limit(1_000)?)
        .await?
        .iter()
        .map(QueueRecord::queue_ref)
        .collect();
    found.sort_by_key(|queue| queue.incarnation);
    check_eq!(found, marked, "the interrupted deletions");
    check_eq!(queues.queue_list_deleting(limit(2)?).await?.len(), 2, "at most two of them");
    for queue in &marked {
        queues.queue_remove(queue).await?;
    }
    check_eq!(queues.queue_list_deleting(limit(9)?).await?, Vec::new(), "once they are removed");
    Ok(())
}

async fn incarnations_are_never_repeated(ctx: &Context) -> CaseResult {
    let other = ctx.second_handle().await?;
    let (mut here, mut there): (Vec<Incarnation>, Vec<Incarnation>) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let (a, b) = futures_util::future::join(
            ctx.control.queues().queue_allocate_incarnation(),
            other.control.queues().queue_allocate_incarnation(),
        )
        .await;
        here.push(a?);
        there.push(b?);
    }
    for node in [&here, &there] {
        check!(node.is_sorted_by(|a, b| a < b), "incarnations do not ascend: {node:?}");
    }
    let mut all = [here, there].concat();
    all.sort();
    all.dedup();
    check_eq!(all.len(), 100, "different incarnations among a hundred");
    other.close().await;
    Ok(())
}

async fn queues_and_topics_share_no_name(ctx: &Context) -> CaseResult {
    let queues = ctx.control.queues();
    let project = ctx.project("main")?;
    let queue = ctx.queue_in(&project, "orders").await?;
    let topic = ctx.topic_in(&project, "orders").await?;
    for (wanted, kind) in [(&queue, QueueKind::Queue), (&topic, QueueKind::Topic)] {
        let page = queues.queue_list(&project, kind, ListQueues::new()).await?;
        check_eq!(nth(&page.items, 0)?.queue_ref(), *wanted, "what is listed as {kind:?}");
        check_eq!(page.items.len(), 1, "how many are listed as {kind:?}");
        check_eq!(queues.queue_count(&project, kind).await?, 1, "how many count as {kind:?}");
    }
    ctx.post_n(&queue, 2, 300).await?;
    check!(ctx.list_all(&topic).await?.is_empty(), "the topic shows the queue's messages");
    ctx.delete_queue(&topic).await?;
    check_eq!(record(ctx, &queue).await?.state, QueueState::Active, "the queue of that name");
    check_eq!(ctx.list_all(&queue).await?.len(), 2, "the queue's messages");
    check_eq!(queues.queue_find(&topic.key).await?, None, "the deleted topic");
    Ok(())
}
