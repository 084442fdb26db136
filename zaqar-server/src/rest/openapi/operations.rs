//! What each operation takes and answers, beyond what the [table of routes](crate::rest) says of it.
//!
//! Queues and topics are served by the same handlers: what is said here of a queue's path holds for
//! a topic's, too.

/// One operation.
pub(super) struct Operation {
    /// Method and path.
    pub(super) line: &'static str,
    /// Its name, to which `queue_` or `topic_` is put in front where the path names one.
    pub(super) id: &'static str,
    /// What it does, in a line.
    pub(super) summary: &'static str,
    /// Its query parameters, by their names among the components.
    pub(super) parameters: &'static [&'static str],
    pub(super) takes: Takes,
    /// Its answers, besides the errors that every operation may end in.
    pub(super) answers: &'static [Answer],
}

/// What body an operation takes.
pub(super) enum Takes {
    Nothing,
    /// JSON of this schema, or none.
    Maybe(&'static str),
    /// JSON of this schema.
    Json(&'static str),
    /// Operations of a JSON patch, under a media type of their own.
    Patch(&'static str),
}

/// One answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The schema of its body, if it has one.
    pub(super) schema: Option<&'static str>,
    /// Whether its `Location` header says where the resource is.
    pub(super) located: bool,
}

const fn json(status: u16, schema: &'static str) -> Answer {
    Answer { status, schema: Some(schema), located: false }
}

const fn empty(status: u16) -> Answer {
    Answer { status, schema: None, located: false }
}

impl Answer {
    const fn located(mut self) -> Self {
        self.located = true;
        self
    }
}

const fn gets(
    line: &'static str,
    id: &'static str,
    summary: &'static str,
    parameters: &'static [&'static str],
    answers: &'static [Answer],
) -> Operation {
    Operation { line, id, summary, parameters, takes: Takes::Nothing, answers }
}

const fn does(
    line: &'static str,
    id: &'static str,
    summary: &'static str,
    takes: Takes,
    answers: &'static [Answer],
) -> Operation {
    Operation { line, id, summary, parameters: &[], takes, answers }
}

use Takes::{Json, Maybe, Nothing, Patch};

pub(super) const OPERATIONS: &[Operation] = &[
    gets("GET /", "versions", "The versions of the API", &[], &[json(300, "Versions")]),
    gets("GET /v2/", "home", "The home document of version 2", &[], &[json(200, "Home")]),
    gets("GET /v2/openapi.json", "openapi", "This document", &[], &[json(200, "Document")]),
    gets("GET /v2/ping", "ping", "Whether the store can be reached", &[], &[empty(204)]),
    gets("HEAD /v2/ping", "ping_head", "Whether the service answers", &[], &[empty(204)]),
    gets("GET /v2/health", "health", "Try every operation", &[], &[json(200, "Health")]),
    gets(
        "GET /v2/pools",
        "pools_list",
        "List the pools",
        &["Marker", "PoolsLimit", "Detailed"],
        &[json(200, "Pools")],
    ),
    gets("GET /v2/pools/{id}", "pool_get", "A pool", &["Detailed"], &[json(200, "Pool")]),
    does(
        "PUT /v2/pools/{id}",
        "pool_put",
        "Make or replace a pool",
        Json("NewPool"),
        &[empty(201).located(), json(409, "Error")],
    ),
    does(
        "PATCH /v2/pools/{id}",
        "pool_update",
        "Change a pool",
        Json("ChangedPool"),
        &[json(200, "Pool"), json(409, "Error")],
    ),
    does("DELETE /v2/pools/{id}", "pool_delete", "Remove a pool", Nothing, &[empty(204)]),
    gets(
        "GET /v2/moves",
        "moves_list",
        "List the moves of queues between pools that are going on",
        &["Marker", "PoolsLimit"],
        &[json(200, "Moves")],
    ),
    does(
        "POST /v2/moves",
        "move_begin",
        "Begin to move a queue to another pool, or queues of a pool to others",
        Json("NewMove"),
        &[json(202, "Begun")],
    ),
    gets(
        "GET /v2/flavors",
        "flavors_list",
        "List the flavors of the project",
        &["Marker", "FlavorsLimit", "Detailed"],
        &[json(200, "Flavors")],
    ),
    gets("GET /v2/flavors/{id}", "flavor_get", "A flavor", &[], &[json(200, "Flavor")]),
    does(
        "PUT /v2/flavors/{id}",
        "flavor_put",
        "Make or replace a flavor",
        Json("NewFlavor"),
        &[empty(201).located()],
    ),
    does(
        "PATCH /v2/flavors/{id}",
        "flavor_update",
        "Give a flavor other pools",
        Json("ChangedFlavor"),
        &[json(200, "Flavor")],
    ),
    does("DELETE /v2/flavors/{id}", "flavor_delete", "Remove a flavor", Nothing, &[empty(204)]),
    gets(
        "GET /v2/queues",
        "list",
        "List the queues of the project; a parameter of another name selects by metadata",
        &["Marker", "QueuesLimit", "Detailed", "NamePart", "WithCount"],
        &[json(200, "Queues")],
    ),
    does(
        "PUT /v2/queues/{queue}",
        "create",
        "Create a queue; one that is there already stays as it is",
        Maybe("Metadata"),
        &[empty(201).located(), empty(204).located()],
    ),
    gets("GET /v2/queues/{queue}", "get", "A queue's metadata", &[], &[json(200, "Metadata")]),
    gets("HEAD /v2/queues/{queue}", "exists", "Whether a queue is there", &[], &[empty(204)]),
    does(
        "PATCH /v2/queues/{queue}",
        "update",
        "Change a queue's metadata",
        Patch("MetadataPatch"),
        &[json(200, "Metadata"), json(409, "Error"), json(415, "Error")],
    ),
    does(
        "DELETE /v2/queues/{queue}",
        "delete",
        "Delete a queue with everything in it",
        Nothing,
        &[empty(204)],
    ),
    gets(
        "GET /v2/queues/{queue}/stats",
        "stats",
        "How many messages a queue has",
        &[],
        &[json(200, "Stats")],
    ),
    does(
        "POST /v2/queues/{queue}/purge",
        "purge",
        "Remove what is in a queue",
        Maybe("Purge"),
        &[empty(204)],
    ),
    gets(
        "GET /v2/queues/{queue}/dead_letters",
        "dead_letters",
        "List messages with the queues that they came from as dead letters",
        &["Marker", "MessagesLimit", "IncludeClaimed"],
        &[json(200, "DeadLetters")],
    ),
    does(
        "POST /v2/queues/{queue}/redrive",
        "redrive",
        "Send dead letters to where they came from, or to another queue; go on from `next` until it is null",
        Maybe("Redrive"),
        &[json(200, "Redriven")],
    ),
    does(
        "POST /v2/queues/{queue}/share",
        "share",
        "Make a pre-signed URL",
        Json("Share"),
        &[json(200, "Shared")],
    ),
    gets(
        "GET /v2/queues/{queue}/messages",
        "messages_list",
        "List messages, or get those of some ids",
        &["Marker", "MessagesLimit", "Echo", "IncludeClaimed", "IncludeDelayed", "Wait", "Ids"],
        &[json(200, "Messages")],
    ),
    Operation {
        line: "POST /v2/queues/{queue}/messages",
        id: "messages_post",
        summary: "Post messages: all of them or, with an error, none",
        parameters: &["IdempotencyKey"],
        takes: Json("NewMessages"),
        answers: &[json(201, "Posted").located(), json(409, "Error")],
    },
    gets(
        "DELETE /v2/queues/{queue}/messages",
        "messages_delete",
        "Delete the messages of some ids, or take some away (`pop`)",
        &["Ids", "Pop", "ClaimIds"],
        &[json(200, "Popped"), empty(204)],
    ),
    gets(
        "GET /v2/queues/{queue}/messages/{id}",
        "message_get",
        "One message",
        &[],
        &[json(200, "Message")],
    ),
    gets(
        "DELETE /v2/queues/{queue}/messages/{id}",
        "message_delete",
        "Delete a message; a claimed one by its claim's id",
        &["ClaimId"],
        &[empty(204)],
    ),
    Operation {
        line: "POST /v2/queues/{queue}/claims",
        id: "claim_create",
        summary: "Claim messages; 204 if there are none",
        parameters: &["ClaimLimit", "Wait"],
        takes: Maybe("ClaimTerms"),
        answers: &[json(201, "Messages").located(), empty(204)],
    },
    gets(
        "GET /v2/queues/{queue}/claims/{id}",
        "claim_get",
        "A claim with its messages",
        &[],
        &[json(200, "Claim")],
    ),
    does(
        "PATCH /v2/queues/{queue}/claims/{id}",
        "claim_update",
        "Renew a claim",
        Json("ClaimTerms"),
        &[empty(204)],
    ),
    does(
        "DELETE /v2/queues/{queue}/claims/{id}",
        "claim_delete",
        "Give the messages of a claim back",
        Nothing,
        &[empty(204)],
    ),
    gets(
        "GET /v2/queues/{queue}/subscriptions",
        "subscriptions_list",
        "List the subscriptions of a queue",
        &["Marker", "SubscriptionsLimit"],
        &[json(200, "Subscriptions")],
    ),
    does(
        "POST /v2/queues/{queue}/subscriptions",
        "subscription_create",
        "Subscribe to a queue",
        Json("NewSubscription"),
        &[json(201, "Subscribed").located(), json(409, "Error").located()],
    ),
    gets(
        "GET /v2/queues/{queue}/subscriptions/{id}",
        "subscription_get",
        "A subscription",
        &[],
        &[json(200, "Subscription")],
    ),
    does(
        "PATCH /v2/queues/{queue}/subscriptions/{id}",
        "subscription_update",
        "Change a subscription",
        Json("SubscriptionChange"),
        &[empty(204).located(), json(409, "Error")],
    ),
    does(
        "DELETE /v2/queues/{queue}/subscriptions/{id}",
        "subscription_delete",
        "End a subscription",
        Nothing,
        &[empty(204)],
    ),
    does(
        "PUT /v2/queues/{queue}/subscriptions/{id}/confirm",
        "subscription_confirm",
        "Confirm a subscription, or take that back",
        Json("Confirmation"),
        &[empty(204).located()],
    ),
];
