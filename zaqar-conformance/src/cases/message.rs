//! Messages: what a post stores and a read by id returns.

use zaqar_core::limits::MESSAGES_PER_POST_MAX;
use zaqar_core::{
    Body, ClientId, Error, ListMessages, MessageId, NewMessage, PostMessages, QueueEnd,
};

use super::support::{ids, is_no_message, limit, nth, only, pick, post_many, span, stats, texts};
use crate::case::{CaseResult, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    stats_of_an_empty_queue_are_zero = "message.stats.empty_queue" {
        level: Core,
        guarantees: [],
        methods: ["message_stats"],
        summary: "An empty queue counts nothing and has neither oldest nor newest message.",
    }
    stats_count_and_name_both_ends = "message.stats.counts_and_ends" {
        level: Core,
        guarantees: [],
        methods: ["message_stats"],
        summary: "Statistics count the live messages and name the oldest and newest with age and time.",
    }
    post_answers_ids_in_order = "message.post.ids_in_order" {
        level: Core,
        guarantees: [G1, G2],
        methods: ["message_post", "message_get", "message_list"],
        summary: "A post answers one id for each message in their order, and each names its message.",
    }
    message_reads_as_posted = "message.get.as_posted" {
        level: Core,
        guarantees: [G1, G4],
        methods: ["message_get", "message_post"],
        summary: "A fresh message has the body and ttl of its post, age 0, no claim, count 0, no checksum.",
    }
    bodies_are_kept_byte_for_byte = "message.body.byte_for_byte" {
        level: Core,
        guarantees: [G4],
        methods: ["message_post", "message_get", "message_list", "message_bulk_get"],
        summary: "A body comes back byte for byte: white space, key order, duplicate keys, number forms, escapes, any script.",
    }
    large_bodies_are_kept = "message.body.large" {
        level: Core,
        guarantees: [G4],
        methods: ["message_post", "message_get"],
        summary: "A body of a megabyte comes back byte for byte.",
    }
    checksums_are_kept = "message.post.checksum_kept" {
        level: Core,
        guarantees: [],
        methods: ["message_post", "message_get", "message_list"],
        summary: "A message shows the checksum stored with it, and none where none was stored.",
    }
    posts_follow_each_other = "message.post.queue_order" {
        level: Core,
        guarantees: [G9],
        methods: ["message_post", "message_list"],
        summary: "Posts one after another stand in the queue in that order, at either node.",
    }
    posts_are_refused_by_number = "message.post.refused_by_number" {
        level: Core,
        guarantees: [G1, G2],
        methods: ["message_post"],
        summary: "A post of no message, or of more than a thousand, is refused as invalid and stores nothing.",
    }
    thousand_messages_fit_one_post = "message.post.a_thousand_at_once" {
        level: Core,
        guarantees: [G2],
        methods: ["message_post", "message_list", "message_bulk_get", "message_bulk_delete"],
        summary: "A thousand messages fit one post, one page, one bulk read and one bulk delete.",
    }
    missing_message_is_not_found = "message.get.missing" {
        level: Core,
        guarantees: [],
        methods: ["message_get", "message_delete", "message_bulk_get"],
        summary: "An id that names nothing is not found, skipped by bulk reads, and silent to delete.",
    }
    bulk_get_answers_as_asked = "message.bulk_get.order_asked" {
        level: Core,
        guarantees: [],
        methods: ["message_bulk_get"],
        summary: "A bulk read answers in the order asked, leaves out what is missing, and a repeated id once.",
    }
    first_names_both_ends = "message.first.both_ends" {
        level: Core,
        guarantees: [],
        methods: ["message_first"],
        summary: "The first and last messages are those posted first and last; an empty queue has none.",
    }
    echo_is_hidden_on_request = "message.list.hide_client" {
        level: Core,
        guarantees: [G9],
        methods: ["message_list", "message_post"],
        summary: "A listing leaves out what the named client posted, and nothing else.",
    }
    any_client_id_is_taken = "message.post.any_client" {
        level: Core,
        guarantees: [],
        methods: ["message_post", "message_list", "message_pop"],
        summary: "A client id is any text, compared as it is; a post without one is a message like others.",
    }
    volume_counts_the_store = "driver.volume.counts_all_tenants" {
        level: Core,
        guarantees: [],
        methods: ["volume", "message_post"],
        summary: "The store's volume counts the live messages of every project.",
    }
    health_is_good = "driver.health.good" {
        level: Core,
        guarantees: [G15],
        methods: ["health", "info", "capabilities"],
        summary: "A store in order says that it is safe and reads its time from the clock it was given.",
    }
}

async fn stats_of_an_empty_queue_are_zero(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("empty").await?;
    check_eq!(stats(ctx, &queue).await?, zaqar_core::QueueStats::default(), "an empty queue");
    Ok(())
}

async fn stats_count_and_name_both_ends(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("counted").await?;
    let first_at = zaqar_core::Clock::now(&*ctx.clock);
    let early = ctx.post_n(&queue, 6, 600).await?;
    ctx.advance(10).await?;
    let late = ctx.post_n(&queue, 6, 600).await?;
    let stats = stats(ctx, &queue).await?;
    check_eq!((stats.free, stats.claimed, stats.total()), (12, 0, 12), "free, claimed, total");
    let (Some(oldest), Some(newest)) = (stats.oldest, stats.newest) else {
        return Err(crate::case::Failure::broken(format!("an end is missing: {stats:?}")));
    };
    check_eq!(oldest.id, *nth(&early, 0)?, "the oldest message");
    check_eq!(newest.id, *nth(&late, 5)?, "the newest message");
    check_eq!((oldest.age_s, newest.age_s), (12, 2), "their ages");
    check_eq!(oldest.posted_at, first_at, "when the oldest was posted");
    check_eq!(newest.posted_at, first_at.after(span(10)), "when the newest was posted");
    Ok(())
}

async fn post_answers_ids_in_order(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("ordered").await?;
    let posted = ctx.post_n(&queue, 7, 300).await?;
    check!(posted.is_sorted_by(|a, b| a < b), "the ids of a post do not ascend: {posted:?}");
    for (number, id) in posted.iter().enumerate() {
        check_eq!(id.incarnation(), queue.incarnation, "the incarnation in an id");
        let message = ctx.data.messages().message_get(&queue, *id).await?;
        check_eq!(message.id, *id, "the id of the message read");
        check_eq!(message.body, Context::body(number), "the body behind id {number}");
    }
    let listed = ctx.list_all(&queue).await?;
    check_eq!(ids(&listed), posted, "the queue's order");
    check_eq!(
        only(&ctx.post_n(&queue, 1, 300).await?)?,
        nth(&ids(&ctx.list_all(&queue).await?), 7)?,
        "a post of one"
    );
    Ok(())
}

async fn message_reads_as_posted(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("read").await?;
    let now = zaqar_core::Clock::now(&*ctx.clock);
    let id = *only(&ctx.post_n(&queue, 1, 1_234).await?)?;
    let message = ctx.data.messages().message_get(&queue, id).await?;
    check_eq!(message.ttl, span(1_234), "the ttl");
    check_eq!((message.age_s, message.posted_at), (0, now), "age and time of post");
    check_eq!((message.claim, message.claim_count), (None, 0), "claim and count");
    check_eq!(message.checksum, None, "the checksum");
    check_eq!(message.marker.sequence(), id.sequence(), "the position");
    ctx.advance(77).await?;
    let later = ctx.data.messages().message_get(&queue, id).await?;
    check_eq!((later.age_s, later.posted_at), (77, now), "age and time of post, later");
    let listed = ctx.list_all(&queue).await?;
    check_eq!(*only(&listed)?, later, "the same message in a listing");
    let fetched = ctx.data.messages().message_bulk_get(&queue, &[id]).await?;
    check_eq!(*only(&fetched)?, later, "the same message read in bulk");
    Ok(())
}

/// Texts that a store which parses, normalises or truncates would change.
const BODIES: &[&str] = &[
    r#"{"b" : 1,  "a":[1e2, 1E+2, 100, 100.0, -0, -0.0]}"#,
    "\n\t [ ] \r\n",
    "null",
    "true",
    "0",
    "\"\"",
    "{}",
    r#"{"a.b":{"$set":1,"":2},"dotted.key.":3}"#,
    r#"{"k":1,"k":2}"#,
    "123456789012345678901234567890.123456789012345678901234567890",
    "1e400",
    r#""\u0000\u001f\ud83d\ude00\/\"\\""#,
    "\"\u{e4}\u{4e2d}\u{1f600}\u{301}\u{feff}\u{202e}\"",
    "\"'); DROP TABLE messages; -- %s {0} ${x} \"",
    r#"[[[[[[[[[[[[[[[[{"deep":[]}]]]]]]]]]]]]]]]]"#,
];

async fn bodies_are_kept_byte_for_byte(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("exact").await?;
    let mut messages = Vec::new();
    for text in BODIES {
        messages.push(NewMessage::new(Body::from_json(*text)?, span(300)));
    }
    let posted = ctx.post(&queue, messages).await?;
    for (id, text) in posted.iter().zip(BODIES) {
        let read = ctx.data.messages().message_get(&queue, *id).await?;
        check_eq!(read.body.as_str(), *text, "a body read by id");
    }
    check_eq!(texts(&ctx.list_all(&queue).await?), BODIES, "the bodies listed");
    let fetched = ctx.data.messages().message_bulk_get(&queue, &posted).await?;
    check_eq!(texts(&fetched), BODIES, "the bodies read in bulk");
    let popped = ctx.data.messages().message_pop(&queue, limit(100)?).await?;
    check_eq!(texts(&popped), BODIES, "the bodies popped");
    Ok(())
}

async fn large_bodies_are_kept(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("large").await?;
    let text = format!("[\"{}\"]", "\u{fc}x".repeat(350_000));
    let body = Body::from_json(text.as_str())?;
    let posted = ctx.post(&queue, vec![NewMessage::new(body, span(300))]).await?;
    let read = ctx.data.messages().message_get(&queue, *only(&posted)?).await?;
    check!(read.body.as_str() == text, "a megabyte came back as {} bytes", read.body.len());
    Ok(())
}

async fn checksums_are_kept(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("checked").await?;
    let sum = "MD5:d41d8cd98f00b204e9800998ecf8427e".to_owned();
    let with = Context::message(0, 300).checksum(sum.clone());
    let posted = ctx.post(&queue, vec![with, Context::message(1, 300)]).await?;
    let read = ctx.data.messages().message_get(&queue, *nth(&posted, 0)?).await?;
    check_eq!(read.checksum, Some(sum.clone()), "a checksum read by id");
    let listed = ctx.list_all(&queue).await?;
    let sums: Vec<Option<String>> = listed.into_iter().map(|m| m.checksum).collect();
    check_eq!(sums, [Some(sum), None], "the checksums listed");
    Ok(())
}

async fn posts_follow_each_other(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("followed").await?;
    let other = ctx.second_handle().await?;
    let mut posted = Vec::new();
    for round in 0..10 {
        let node = if round % 2 == 0 { ctx } else { &other };
        posted.extend(node.post_n(&queue, 1 + round % 3, 300).await?);
    }
    for node in [ctx, &other] {
        check_eq!(ids(&node.list_all(&queue).await?), posted, "the queue's order");
    }
    other.close().await;
    Ok(())
}

async fn posts_are_refused_by_number(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("refused").await?;
    for count in [0, MESSAGES_PER_POST_MAX + 1] {
        let messages = (0..count).map(|number| Context::message(number, 300)).collect();
        let posted = ctx.data.messages().message_post(&queue, messages, PostMessages::new()).await;
        let invalid = |error: &Error| matches!(error, Error::Invalid { .. });
        expect_err(posted, invalid, format!("a post of {count}"))?;
    }
    check!(ctx.list_all(&queue).await?.is_empty(), "something was stored");
    let first = ctx.post_n(&queue, 1, 300).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), first, "what a post stored after them");
    Ok(())
}

async fn thousand_messages_fit_one_post(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("thousand").await?;
    let posted = ctx.post_n(&queue, 1_000, 300).await?;
    let messages = ctx.data.messages();
    let page = messages.message_list(&queue, ListMessages::new().limit(limit(1_000)?)).await?;
    check_eq!(ids(&page.items), posted, "a page of a thousand");
    let fetched = messages.message_bulk_get(&queue, &posted).await?;
    check_eq!(ids(&fetched), posted, "a bulk read of a thousand");
    let kept = *nth(&posted, 500)?;
    let doomed: Vec<MessageId> = posted.into_iter().filter(|id| *id != kept).collect();
    messages.message_bulk_delete(&queue, &doomed, None).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), [kept], "what a bulk delete left");
    Ok(())
}

async fn missing_message_is_not_found(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("missing").await?;
    let messages = ctx.data.messages();
    let posted = ctx.post_n(&queue, 2, 300).await?;
    messages.message_delete(&queue, *nth(&posted, 0)?, None).await?;
    let never = MessageId::new(queue.incarnation, 1_000_000)?;
    let zero = MessageId::new(queue.incarnation, 0)?;
    let last = MessageId::new(queue.incarnation, zaqar_core::limits::SEQUENCE_MAX)?;
    let absent = [*nth(&posted, 0)?, never, zero, last];
    for id in absent {
        expect_err(messages.message_get(&queue, id).await, is_no_message, format!("{id}"))?;
        messages.message_delete(&queue, id, None).await?;
        messages.message_delete(&queue, id, Some(zaqar_core::ClaimId::random())).await?;
    }
    check_eq!(messages.message_bulk_get(&queue, &absent).await?, Vec::new(), "a bulk read");
    messages.message_bulk_delete(&queue, &absent, None).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [1])?, "what is left");
    Ok(())
}

async fn bulk_get_answers_as_asked(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("asked").await?;
    let posted = ctx.post_n(&queue, 6, 300).await?;
    let missing = MessageId::new(queue.incarnation, 1_000_000)?;
    let mut asked = pick(&posted, [4, 1, 4, 0])?;
    asked.insert(1, missing);
    asked.extend(pick(&posted, [1, 5])?);
    let found = ctx.data.messages().message_bulk_get(&queue, &asked).await?;
    check_eq!(ids(&found), pick(&posted, [4, 1, 0, 5])?, "the messages in the order asked");
    let wanted: Vec<Body> = [4, 1, 0, 5].into_iter().map(Context::body).collect();
    let bodies: Vec<Body> = found.into_iter().map(|message| message.body).collect();
    check_eq!(bodies, wanted, "their bodies");
    let nothing = ctx.data.messages().message_bulk_get(&queue, &[]).await?;
    check_eq!(nothing, Vec::new(), "a bulk read of nothing");
    Ok(())
}

async fn first_names_both_ends(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("ends").await?;
    let messages = ctx.data.messages();
    for end in [QueueEnd::Oldest, QueueEnd::Newest] {
        check_eq!(messages.message_first(&queue, end).await?, None, "{end:?} of an empty queue");
    }
    let posted = ctx.post_n(&queue, 12, 300).await?;
    for (end, index) in [(QueueEnd::Oldest, 0), (QueueEnd::Newest, 11)] {
        let id = messages.message_first(&queue, end).await?.map(|message| message.id);
        check_eq!(id, posted.get(index).copied(), "{end:?} of twelve");
    }
    messages.message_bulk_delete(&queue, &pick(&posted, [0, 11])?, None).await?;
    for (end, index) in [(QueueEnd::Oldest, 1), (QueueEnd::Newest, 10)] {
        let id = messages.message_first(&queue, end).await?.map(|message| message.id);
        check_eq!(id, posted.get(index).copied(), "{end:?} once both ends are deleted");
    }
    Ok(())
}

async fn echo_is_hidden_on_request(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("echo").await?;
    let client = ClientId::new("3381af92-2b9e-11e3-b191-71861300734c")?;
    let own = PostMessages::new().client(client.clone());
    let batch = || (0..15).map(|number| Context::message(number, 300)).collect();
    ctx.data.messages().message_post(&queue, batch(), own).await?;
    let hidden = ListMessages::new().hide_client(client.clone());
    check!(ctx.walk(&queue, hidden.clone()).await?.is_empty(), "a client is shown its own posts");
    let shown = ctx.walk(&queue, ListMessages::new().limit(limit(20)?)).await?;
    check_eq!(shown.len(), 15, "what everybody is shown");
    let first = ctx.data.messages().message_list(&queue, ListMessages::new()).await?;
    check_eq!(first.items.len(), 10, "the default page");
    let rest = ListMessages::new().marker(first.next);
    let second = ctx.data.messages().message_list(&queue, rest).await?;
    check_eq!(second.items.len(), 5, "the page after it");
    let others = ctx.post_n(&queue, 2, 300).await?;
    check_eq!(ids(&ctx.walk(&queue, hidden).await?), others, "what the client is shown");
    Ok(())
}

async fn any_client_id_is_taken(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("clients").await?;
    let mut posted = Vec::new();
    let names = ["worker", "Worker", "caf\u{e9}", "'; --"];
    for name in names {
        let options = PostMessages::new().client(ClientId::new(name)?);
        let batch = vec![Context::message(0, 300)];
        posted.extend(ctx.data.messages().message_post(&queue, batch, options).await?.ids);
    }
    posted.extend(ctx.post_n(&queue, 1, 300).await?);
    for (index, name) in names.into_iter().enumerate() {
        let options = ListMessages::new().hide_client(ClientId::new(name)?);
        let wanted = pick(&posted, (0..posted.len()).filter(|other| *other != index))?;
        check_eq!(ids(&ctx.walk(&queue, options).await?), wanted, "what {name} is shown");
    }
    let popped = ctx.data.messages().message_pop(&queue, limit(10)?).await?;
    check_eq!(ids(&popped), posted, "what can be popped");
    Ok(())
}

async fn volume_counts_the_store(ctx: &Context) -> CaseResult {
    let left = ctx.queue_in(&ctx.project("left")?, "q").await?;
    let right = ctx.queue_in(&ctx.project("right")?, "q").await?;
    post_many(ctx, &left, 3, |number| Context::message(number, 300)).await?;
    post_many(ctx, &right, 4, |number| Context::message(number, 300)).await?;
    ctx.advance(2).await?;
    let volume = ctx.data.volume().await?;
    check_eq!((volume.free, volume.claimed), (7, 0), "free and claimed messages of the store");
    Ok(())
}

async fn health_is_good(ctx: &Context) -> CaseResult {
    ctx.advance(5).await?;
    let now = zaqar_core::Clock::now(&*ctx.clock);
    let (data, control) = (ctx.data.health().await?, ctx.control.health().await?);
    check_eq!((data.now, data.safe), (now, true), "the data plane's time and safety");
    check_eq!((control.now, control.safe), (now, true), "the control plane's time and safety");
    check!(!ctx.data.info().name.is_empty(), "the data driver has no name");
    check!(!ctx.control.info().name.is_empty(), "the control driver has no name");
    Ok(())
}
