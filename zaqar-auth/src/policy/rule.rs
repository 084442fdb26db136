//! Every rule that guards an operation, with what holds unless an operator says otherwise.

/// What holds for the rules that lock nobody out.
const EVERYONE: &str = "";
/// What holds for the rules about the service itself.
const ADMIN: &str = "role:admin";

/// A rule that guards no operation but is there to be referred to.
pub(super) struct Helper {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    pub(super) doc: &'static str,
}

pub(super) const HELPERS: [Helper; 2] = [
    Helper {
        name: super::leaf::ADMIN_RULE,
        default: ADMIN,
        doc: "Who is an administrator: `is_admin:True` in other rules asks this one.",
    },
    Helper {
        name: "admin_or_owner",
        default: "is_admin:True or project_id:%(project_id)s",
        doc: "Administrators, and whoever acts for the project that the request is about.",
    },
];

macro_rules! rules {
    ($( $(#[doc = $doc:literal])+ $Rule:ident = $name:literal, $default:expr; )+) => {
        /// A rule that guards operations.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $( $(#[doc = $doc])+ $Rule, )+ }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[ $( Self::$Rule, )+ ];

            /// The name that a policy file knows it by.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$Rule => $name, )+ }
            }

            /// The check that holds unless a policy file has another one.
            #[must_use]
            pub const fn default_check(self) -> &'static str {
                match self { $( Self::$Rule => $default, )+ }
            }

            /// What it gives leave to do.
            #[must_use]
            pub fn doc(self) -> &'static str {
                match self { $( Self::$Rule => concat!($($doc),+).trim_ascii(), )+ }
            }
        }
    };
}

rules! {
    /// List the queues of the project.
    QueuesGetAll = "queues:get_all", EVERYONE;
    /// Create a queue.
    QueuesCreate = "queues:create", EVERYONE;
    /// Show a queue's metadata, or whether it is there.
    QueuesGet = "queues:get", EVERYONE;
    /// Delete a queue with its messages.
    QueuesDelete = "queues:delete", EVERYONE;
    /// Change a queue's metadata.
    QueuesUpdate = "queues:update", EVERYONE;
    /// Show how many messages a queue has.
    QueuesStats = "queues:stats", EVERYONE;
    /// Make a pre-signed URL, which works for whoever holds it.
    QueuesShare = "queues:share", EVERYONE;
    /// Remove everything that is in a queue.
    QueuesPurge = "queues:purge", EVERYONE;
    /// List messages, or get several by their ids.
    MessagesGetAll = "messages:get_all", EVERYONE;
    /// Post messages.
    MessagesCreate = "messages:create", EVERYONE;
    /// Get one message.
    MessagesGet = "messages:get", EVERYONE;
    /// Delete one message.
    MessagesDelete = "messages:delete", EVERYONE;
    /// Delete several messages, or pop some.
    MessagesDeleteAll = "messages:delete_all", EVERYONE;
    /// Send the messages of a dead-letter queue to where they came from, or to another queue.
    MessagesRedrive = "messages:redrive", "rule:messages:create and rule:messages:delete";
    /// Claim messages.
    ClaimsCreate = "claims:create", EVERYONE;
    /// Show a claim and its messages.
    ClaimsGet = "claims:get", EVERYONE;
    /// Renew a claim.
    ClaimsUpdate = "claims:update", EVERYONE;
    /// Give claimed messages back.
    ClaimsDelete = "claims:delete", EVERYONE;
    /// List the subscriptions of a queue or topic.
    SubscriptionGetAll = "subscription:get_all", EVERYONE;
    /// Subscribe to a queue or topic.
    SubscriptionCreate = "subscription:create", EVERYONE;
    /// Show a subscription.
    SubscriptionGet = "subscription:get", EVERYONE;
    /// End a subscription.
    SubscriptionDelete = "subscription:delete", EVERYONE;
    /// Change a subscription.
    SubscriptionUpdate = "subscription:update", EVERYONE;
    /// Confirm or unconfirm a subscription.
    SubscriptionConfirm = "subscription:confirm", EVERYONE;
    /// List the topics of the project.
    TopicsGetAll = "topics:get_all", EVERYONE;
    /// Create a topic.
    TopicsCreate = "topics:create", EVERYONE;
    /// Show a topic's metadata, or whether it is there.
    TopicsGet = "topics:get", EVERYONE;
    /// Delete a topic with its messages.
    TopicsDelete = "topics:delete", EVERYONE;
    /// Change a topic's metadata.
    TopicsUpdate = "topics:update", EVERYONE;
    /// Show how many messages a topic has.
    TopicsStats = "topics:stats", EVERYONE;
    /// Remove everything that is in a topic.
    TopicsPurge = "topics:purge", EVERYONE;
    /// Get the description of the API.
    OpenapiGet = "openapi:get", EVERYONE;
    /// Ask whether the service works.
    PingGet = "ping:get", EVERYONE;
    /// See the health of the service, which tries every operation.
    HealthGet = "health:get", ADMIN;
    /// List the pools.
    PoolsGetAll = "pools:get_all", ADMIN;
    /// Create a pool.
    PoolsCreate = "pools:create", ADMIN;
    /// Show a pool.
    PoolsGet = "pools:get", ADMIN;
    /// Delete a pool.
    PoolsDelete = "pools:delete", ADMIN;
    /// Change a pool.
    PoolsUpdate = "pools:update", ADMIN;
    /// List the moves of queues between pools that are going on.
    MovesGetAll = "moves:get_all", ADMIN;
    /// Move a queue to another pool, or the queues of a pool to others.
    MovesCreate = "moves:create", ADMIN;
    /// List the flavors.
    FlavorsGetAll = "flavors:get_all", EVERYONE;
    /// Create a flavor.
    FlavorsCreate = "flavors:create", ADMIN;
    /// Show a flavor.
    FlavorsGet = "flavors:get", EVERYONE;
    /// Delete a flavor.
    FlavorsDelete = "flavors:delete", ADMIN;
    /// Change a flavor.
    FlavorsUpdate = "flavors:update", ADMIN;
}

impl Rule {
    /// The rule of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name)
    }
}
