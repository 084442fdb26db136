//! Listing queues: order, pages, markers and filters (Q1 to Q4 of the catalogue of behaviours).

use zaqar_core::{
    FilterValue, ListQueues, MetadataFilter, ProjectId, QueueKey, QueueKind, QueueName,
};

use super::support::{limit, nth, object};
use crate::case::{CaseResult, Failure, cases, check, check_eq};
use crate::context::Context;

cases! {
    default_page_holds_ten = "queue.list.default_page_holds_ten" {
        level: Core,
        guarantees: [G9],
        methods: ["queue_list"],
        summary: "Of fifteen queues the first page shows ten, its marker leads to the other five, theirs to the end.",
    }
    projects_are_listed_apart = "queue.list.projects_are_apart" {
        level: Core,
        guarantees: [G12],
        methods: ["queue_list", "queue_count", "queue_find"],
        summary: "Two projects with queues of the same names each list and count their own alone.",
    }
    names_ascend_in_byte_order = "queue.list.byte_order" {
        level: Core,
        guarantees: [G9],
        methods: ["queue_list"],
        summary: "Names ascend byte by byte and differ by case.",
    }
    pages_of_one_show_each_once = "queue.list.pages_of_one" {
        level: Core,
        guarantees: [G9],
        methods: ["queue_list"],
        summary: "Paging one by one shows each queue once, the first one too.",
    }
    marker_need_not_exist = "queue.list.marker_need_not_exist" {
        level: Core,
        guarantees: [G9],
        methods: ["queue_list"],
        summary: "A marker means strictly after that name, whether a queue has it or had it.",
    }
    name_filter_is_literal = "queue.list.name_filter_is_literal" {
        level: Core,
        guarantees: [G12],
        methods: ["queue_list"],
        summary: "The name filter is plain text: no wildcard, pattern or quotation has a meaning.",
    }
    filters_apply_before_the_limit = "queue.list.filters_before_limit" {
        level: Core,
        guarantees: [G9],
        methods: ["queue_list"],
        summary: "Queues that a filter leaves out do not use up the page.",
    }
    metadata_filters_compare_types = "queue.list.metadata_filter_types" {
        level: Core,
        guarantees: [],
        methods: ["queue_list"],
        summary: "An integer filter matches equal integers alone, a text filter equal text alone.",
    }
    metadata_filters_reach_into_objects = "queue.list.metadata_filter_paths" {
        level: Core,
        guarantees: [],
        methods: ["queue_list"],
        summary: "A filter's path is a top-level key or a dotted way into objects; every filter must hold.",
    }
    metadata_filters_take_any_key = "queue.list.metadata_filter_is_literal" {
        level: Core,
        guarantees: [G12],
        methods: ["queue_list"],
        summary: "Keys and values with quotes, brackets or wildcards are compared as they are.",
    }
}

/// Makes control records alone: listing needs no heads.
async fn make(ctx: &Context, project: &ProjectId, name: &str, metadata: &str) -> CaseResult {
    let queues = ctx.control.queues();
    let key = QueueKey::queue(project.clone(), QueueName::new(name)?);
    let queue = key.incarnate(queues.queue_allocate_incarnation().await?);
    let made = queues.queue_insert(&queue, &object(metadata)?).await?;
    check!(made.is_new(), "the name {name} is taken by {made:?}");
    Ok(())
}

/// The names of a walk from the start to the first empty page.
async fn names(
    ctx: &Context,
    project: &ProjectId,
    options: ListQueues,
) -> Result<Vec<String>, Failure> {
    let mut names: Vec<String> = Vec::new();
    let mut options = options;
    loop {
        let asked = options.clone();
        let page = ctx.control.queues().queue_list(project, QueueKind::Queue, asked).await?;
        if page.items.is_empty() {
            return Ok(names);
        }
        let Some(next) = page.next else {
            return Err(Failure::broken("a page with queues has no next marker"));
        };
        check!(names.len() < 1_000, "following the markers of a listing does not end");
        names.extend(page.items.iter().map(|record| record.key.name.to_string()));
        options.marker = Some(next);
    }
}

/// The names on the first page.
async fn page(
    ctx: &Context,
    project: &ProjectId,
    options: ListQueues,
) -> Result<Vec<String>, Failure> {
    let page = ctx.control.queues().queue_list(project, QueueKind::Queue, options).await?;
    Ok(page.items.iter().map(|record| record.key.name.to_string()).collect())
}

fn filter(path: &str, value: FilterValue) -> MetadataFilter {
    MetadataFilter { path: path.to_owned(), value }
}

fn text(value: &str) -> FilterValue {
    FilterValue::Text(value.to_owned())
}

async fn default_page_holds_ten(ctx: &Context) -> CaseResult {
    let project = ctx.project("main")?;
    for number in 0..15 {
        make(ctx, &project, &format!("queue-{number:02}"), r#"{"some": "data"}"#).await?;
    }
    let queues = ctx.control.queues();
    let first = queues.queue_list(&project, QueueKind::Queue, ListQueues::new()).await?;
    check_eq!(first.items.len(), 10, "the first page");
    check_eq!(nth(&first.items, 9)?.metadata, object(r#"{"some": "data"}"#)?, "its metadata");
    check_eq!(first.next, Some(QueueName::new("queue-09")?), "its marker");
    let options = ListQueues::new().marker(first.next);
    let second = queues.queue_list(&project, QueueKind::Queue, options).await?;
    check_eq!(second.items.len(), 5, "the second page");
    check_eq!(nth(&second.items, 0)?.key.name.as_str(), "queue-10", "where it starts");
    let options = ListQueues::new().marker(second.next);
    let third = queues.queue_list(&project, QueueKind::Queue, options).await?;
    check!(third.items.is_empty(), "the page after the end holds {:?}", third.items);
    Ok(())
}

async fn projects_are_listed_apart(ctx: &Context) -> CaseResult {
    // One project's id continues the other's, as a careless prefix scan would have it.
    let (left, right) = (ctx.project("a")?, ctx.project("a.b")?);
    for number in 0..15 {
        let name = format!("queue-{number:02}");
        make(ctx, &left, &name, r#"{"of": "left"}"#).await?;
        make(ctx, &right, &name, r#"{"of": "right"}"#).await?;
    }
    make(ctx, &right, "only-right", "{}").await?;
    let queues = ctx.control.queues();
    for (project, of, count) in [(&left, "left", 15), (&right, "right", 16)] {
        check_eq!(names(ctx, project, ListQueues::new()).await?.len(), count, "queues {of}");
        let counted = queues.queue_count(project, QueueKind::Queue).await?;
        check_eq!(counted, u64::try_from(count).unwrap_or(0), "the count of queues {of}");
        let options = ListQueues::new().limit(limit(15)?);
        let listed = queues.queue_list(project, QueueKind::Queue, options).await?;
        for record in listed.items {
            let owner = record.metadata.get("of").and_then(|value| value.as_str());
            check!(
                owner.is_none_or(|owner| owner == of) && record.key.project == *project,
                "the listing of {of} shows {record:?}"
            );
        }
    }
    let stranger = QueueKey::queue(left, QueueName::new("only-right")?);
    check_eq!(queues.queue_find(&stranger).await?, None, "the other project's queue");
    Ok(())
}

async fn names_ascend_in_byte_order(ctx: &Context) -> CaseResult {
    let project = ctx.project("main")?;
    let mut wanted = vec!["a", "B", "b", "A", "a.b", "a-b", "a_b", "ab", "0", "Z", "_", "-", "10"];
    for name in &wanted {
        make(ctx, &project, name, "{}").await?;
    }
    wanted.sort_unstable();
    check_eq!(names(ctx, &project, ListQueues::new().limit(limit(5)?)).await?, wanted, "the order");
    Ok(())
}

async fn pages_of_one_show_each_once(ctx: &Context) -> CaseResult {
    let project = ctx.project("main")?;
    let wanted: Vec<String> = (0..12).map(|number| format!("q{number:02}")).collect();
    for name in &wanted {
        make(ctx, &project, name, "{}").await?;
    }
    let walked = names(ctx, &project, ListQueues::new().limit(limit(1)?)).await?;
    check_eq!(walked, wanted, "a walk in pages of one");
    Ok(())
}

async fn marker_need_not_exist(ctx: &Context) -> CaseResult {
    let project = ctx.project("main")?;
    for name in ["alpha", "gamma", "omega"] {
        make(ctx, &project, name, "{}").await?;
    }
    for (marker, wanted) in [
        ("alpha", vec!["gamma", "omega"]),
        ("beta", vec!["gamma", "omega"]),
        ("a", vec!["alpha", "gamma", "omega"]),
        ("omega", vec![]),
        ("zeta", vec![]),
    ] {
        let options = ListQueues::new().marker(QueueName::new(marker)?);
        check_eq!(page(ctx, &project, options).await?, wanted, "the page after {marker}");
    }
    let gone = QueueKey::queue(project.clone(), QueueName::new("gamma")?);
    if let Some(record) = ctx.control.queues().queue_find(&gone).await? {
        ctx.delete_queue(&record.queue_ref()).await?;
    }
    let options = ListQueues::new().marker(gone.name);
    check_eq!(page(ctx, &project, options).await?, ["omega"], "the page after a deleted queue");
    Ok(())
}

async fn name_filter_is_literal(ctx: &Context) -> CaseResult {
    let (project, other) = (ctx.project("main")?, ctx.project("other")?);
    for name in ["plain", "with_line", "with.dot", "Upper"] {
        make(ctx, &project, name, "{}").await?;
    }
    make(ctx, &other, "secret", "{}").await?;
    for (filter, wanted) in [
        ("lai", vec!["plain"]),
        ("plain", vec!["plain"]),
        ("_", vec!["with_line"]),
        (".", vec!["with.dot"]),
        ("with", vec!["with.dot", "with_line"]),
        ("upper", vec![]),
        ("Upper", vec!["Upper"]),
        ("", vec!["Upper", "plain", "with.dot", "with_line"]),
        ("%", vec![]),
        ("(", vec![]),
        ("[", vec![]),
        ("*", vec![]),
        ("\\", vec![]),
        ("x|.*", vec![]),
        ("^plain$", vec![]),
        ("' OR '1'='1", vec![]),
        ("\u{fc}", vec![]),
    ] {
        let options = ListQueues::new().name_contains(filter.to_owned());
        check_eq!(page(ctx, &project, options).await?, wanted, "names that contain {filter:?}");
    }
    Ok(())
}

async fn filters_apply_before_the_limit(ctx: &Context) -> CaseResult {
    let project = ctx.project("main")?;
    for number in 0..25 {
        make(ctx, &project, &format!("chaff-{number:02}"), r#"{"zone": 1}"#).await?;
    }
    make(ctx, &project, "wheat", r#"{"zone": 2}"#).await?;
    let by_name = ListQueues::new().name_contains("whea".to_owned());
    check_eq!(page(ctx, &project, by_name).await?, ["wheat"], "the page filtered by name");
    let zone = filter("zone", FilterValue::Integer(2));
    let by_metadata = ListQueues::new().filters(vec![zone]);
    check_eq!(page(ctx, &project, by_metadata).await?, ["wheat"], "the page filtered by metadata");
    Ok(())
}

async fn metadata_filters_compare_types(ctx: &Context) -> CaseResult {
    let project = ctx.project("main")?;
    for (name, metadata) in [
        ("big", r#"{"v": 9007199254740993}"#),
        ("bool", r#"{"v": true}"#),
        ("float", r#"{"v": 1.0}"#),
        ("int", r#"{"v": 1}"#),
        ("negative", r#"{"v": -1}"#),
        ("none", r#"{}"#),
        ("null", r#"{"v": null}"#),
        ("text", r#"{"v": "1"}"#),
        ("upper", r#"{"v": "Abc"}"#),
        ("words", r#"{"v": "true"}"#),
    ] {
        make(ctx, &project, name, metadata).await?;
    }
    for (value, wanted) in [
        (FilterValue::Integer(1), vec!["int"]),
        (FilterValue::Integer(-1), vec!["negative"]),
        (FilterValue::Integer(0), vec![]),
        (FilterValue::Integer(9_007_199_254_740_993), vec!["big"]),
        (FilterValue::Integer(9_007_199_254_740_992), vec![]),
        (text("1"), vec!["text"]),
        (text("true"), vec!["words"]),
        (text("Abc"), vec!["upper"]),
        (text("abc"), vec![]),
        (text("null"), vec![]),
        (text(""), vec![]),
    ] {
        let options = ListQueues::new().filters(vec![filter("v", value.clone())]);
        check_eq!(page(ctx, &project, options).await?, wanted, "queues whose v is {value:?}");
    }
    Ok(())
}

async fn metadata_filters_reach_into_objects(ctx: &Context) -> CaseResult {
    let project = ctx.project("main")?;
    make(ctx, &project, "dotted", r#"{"a.b": "deep"}"#).await?;
    make(ctx, &project, "flat", r#"{"a": "deep", "n": 1}"#).await?;
    make(ctx, &project, "nested", r#"{"a": {"b": "deep"}, "n": 1}"#).await?;
    make(ctx, &project, "nested-other", r#"{"a": {"b": "deep"}, "n": 2}"#).await?;
    let deep = filter("a.b", text("deep"));
    for (filters, wanted) in [
        (vec![deep.clone()], vec!["dotted", "nested", "nested-other"]),
        (vec![deep.clone(), filter("n", FilterValue::Integer(2))], vec!["nested-other"]),
        (vec![deep, filter("missing", text(""))], vec![]),
        (vec![filter("a", text("deep"))], vec!["flat"]),
        (vec![filter("a.c", text("deep"))], vec![]),
    ] {
        let options = ListQueues::new().filters(filters.clone());
        check_eq!(page(ctx, &project, options).await?, wanted, "queues that meet {filters:?}");
    }
    Ok(())
}

async fn metadata_filters_take_any_key(ctx: &Context) -> CaseResult {
    let project = ctx.project("main")?;
    let keys = ["we\"ird", "it's", "a[0]", "$", "*", "%", "\\", " ", "\u{fc}", "') OR 1=1 --"];
    for (number, key) in keys.iter().enumerate() {
        let metadata = serde_json::json!({ *key: "found", "list": ["found"] }).to_string();
        make(ctx, &project, &format!("q{number}"), &metadata).await?;
    }
    for (number, key) in keys.iter().enumerate() {
        let options = ListQueues::new().filters(vec![filter(key, text("found"))]);
        let wanted = vec![format!("q{number}")];
        check_eq!(page(ctx, &project, options).await?, wanted, "queues with the key {key:?}");
    }
    for value in ["%", "' OR '1'='1", "fou_d", "found\"", "Found"] {
        let options = ListQueues::new().filters(vec![filter("$", text(value))]);
        let found = page(ctx, &project, options).await?;
        check!(found.is_empty(), "queues whose key $ is {value:?}: {found:?}");
    }
    Ok(())
}
