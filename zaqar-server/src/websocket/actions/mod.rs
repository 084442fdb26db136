//! What a client can ask for: one table of actions, their fields and what answers them.

mod claims;
mod deletions;
mod messages;
mod queues;
mod subscriptions;

use futures_util::future::BoxFuture;
use zaqar_auth::Identity;
use zaqar_auth::policy::Rule;
use zaqar_core::{ClientId, PageLimit, ProjectId, QueueKey, QueueKind, QueueName};
use zaqar_engine::{Engine, Limits};

use super::Shared;
use super::codec::Encoding;
use super::envelope::Reply;
use super::fields::Kind::{Boolean, Integer, List, Map, Text};
use super::fields::{Field, Fields, optional, required};
use super::refusal::Refusal;
use super::session::Session;
use crate::rest::context;
use crate::rest::names::invalid_name;

/// What an action comes to.
pub(super) type Outcome = Result<Reply, Refusal>;

/// A request on its way to what answers it.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) session: &'a Session,
    pub(super) identity: &'a Identity,
    /// The client's identity as it was sent.
    pub(super) client: &'a str,
    pub(super) encoding: Encoding,
    pub(super) fields: Fields<'a>,
}

impl Call<'_> {
    fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    fn project(&self) -> &ProjectId {
        &self.identity.project
    }

    fn limits(&self) -> &Limits {
        &self.engine().config().limits
    }

    /// The queue that the request is about.
    fn queue(&self) -> Result<QueueKey, Refusal> {
        let name = self.fields.text("queue_name").unwrap_or_default();
        match QueueName::new(&name) {
            Ok(name) => Ok(QueueKey::queue(self.project().clone(), name)),
            Err(_) => Err(invalid_name(QueueKind::Queue).into()),
        }
    }

    /// Who asks, where it matters.
    fn client(&self) -> Result<ClientId, Refusal> {
        context::client_id(self.client, self.shared.config.client_id).map_err(Refusal::from)
    }

    /// The page size that is asked for; the default is a constant, whatever the maximum.
    fn limit(&self, max: u64, refused: impl FnOnce() -> String) -> Result<PageLimit, Refusal> {
        let Some(limit) = self.fields.integer("limit") else { return Ok(PageLimit::default()) };
        let limit = u32::try_from(limit).ok().filter(|limit| u64::from(*limit) <= max);
        let limit = limit.and_then(|limit| PageLimit::new(limit).ok());
        limit.ok_or_else(|| Refusal::invalid(refused()))
    }
}

/// The action that lets a connection act for a project; it is answered before all others.
pub(super) const AUTHENTICATE: &str = "authenticate";

/// Something that a client can ask for.
pub(super) struct Action {
    pub(super) name: &'static str,
    /// The policy rule that guards it, the one of the same operation over HTTP.
    pub(super) rule: Rule,
    pub(super) fields: &'static [Field],
    pub(super) run: for<'a> fn(&'a Call<'a>) -> BoxFuture<'a, Outcome>,
}

/// The action of that name.
pub(super) fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.name == name)
}

/// The names of all actions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once(AUTHENTICATE).chain(ACTIONS.iter().map(|action| action.name))
}

/// Every action with the rule that guards it. Authenticating has none: it is how a caller comes to
/// be somebody.
pub(super) fn guards() -> impl Iterator<Item = (&'static str, Rule)> {
    ACTIONS.iter().map(|action| (action.name, action.rule))
}

macro_rules! action {
    ($name:literal, $rule:expr, $run:path, [$($field:expr),* $(,)?]) => {
        Action {
            name: $name,
            rule: $rule,
            fields: &[$($field),*],
            run: |call| Box::pin($run(call)),
        }
    };
}

const QUEUE: Field = required("queue_name", Text);
const MARKER: Field = optional("marker", Text);
const LIMIT: Field = optional("limit", Integer);
const CLAIM: Field = required("claim_id", Text);
const MESSAGE: Field = required("message_id", Text);
const SUBSCRIPTION: Field = required("subscription_id", Text);
const TTL: Field = optional("ttl", Integer);
const GRACE: Field = optional("grace", Integer);

static ACTIONS: &[Action] = &[
    action!(
        "message_post",
        Rule::MessagesCreate,
        messages::post,
        [QUEUE, required("messages", List), optional("idempotency_key", Text)]
    ),
    action!(
        "message_list",
        Rule::MessagesGetAll,
        messages::list,
        [
            QUEUE,
            MARKER,
            LIMIT,
            optional("echo", Boolean),
            optional("include_claimed", Boolean),
            optional("include_delayed", Boolean),
        ]
    ),
    action!("message_get", Rule::MessagesGet, messages::get, [QUEUE, MESSAGE]),
    action!(
        "message_get_many",
        Rule::MessagesGetAll,
        messages::get_many,
        [QUEUE, required("message_ids", List)]
    ),
    action!(
        "message_delete",
        Rule::MessagesDelete,
        deletions::one,
        [QUEUE, MESSAGE, optional("claim_id", Text)]
    ),
    action!(
        "message_delete_many",
        Rule::MessagesDeleteAll,
        deletions::many,
        [
            QUEUE,
            optional("message_ids", List),
            optional("claim_ids", List),
            optional("pop", Integer),
        ]
    ),
    action!("claim_create", Rule::ClaimsCreate, claims::create, [QUEUE, LIMIT, TTL, GRACE]),
    action!("claim_get", Rule::ClaimsGet, claims::get, [QUEUE, CLAIM]),
    action!("claim_update", Rule::ClaimsUpdate, claims::update, [QUEUE, CLAIM, TTL, GRACE]),
    action!("claim_delete", Rule::ClaimsDelete, claims::delete, [QUEUE, CLAIM]),
    action!(
        "queue_list",
        Rule::QueuesGetAll,
        queues::list,
        [MARKER, LIMIT, optional("detailed", Boolean)]
    ),
    action!("queue_create", Rule::QueuesCreate, queues::create, [QUEUE, optional("metadata", Map)]),
    action!("queue_get", Rule::QueuesGet, queues::get, [QUEUE]),
    action!("queue_delete", Rule::QueuesDelete, queues::delete, [QUEUE]),
    action!("queue_get_stats", Rule::QueuesStats, queues::stats, [QUEUE]),
    action!(
        "queue_purge",
        Rule::QueuesPurge,
        queues::purge,
        [QUEUE, optional("resource_types", List)]
    ),
    action!(
        "subscription_list",
        Rule::SubscriptionGetAll,
        subscriptions::list,
        [QUEUE, MARKER, LIMIT]
    ),
    action!(
        "subscription_create",
        Rule::SubscriptionCreate,
        subscriptions::create,
        [QUEUE, optional("subscriber", Text), TTL, optional("options", Map)]
    ),
    action!("subscription_get", Rule::SubscriptionGet, subscriptions::get, [QUEUE, SUBSCRIPTION]),
    action!(
        "subscription_delete",
        Rule::SubscriptionDelete,
        subscriptions::delete,
        [QUEUE, SUBSCRIPTION]
    ),
];
