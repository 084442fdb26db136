//! What a URI asks for, and what this driver makes of it.

use std::time::Duration;

use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use zaqar_core::OpenError;

/// The database that is used where the URI names none.
const DATABASE_DEFAULT: &str = "zaqar";
/// How long to look for a server that can do it: the client's own 30 s look like a hang.
const SERVER_SELECTION: Duration = Duration::from_secs(5);
/// How long a write waits for the majority; later it is in doubt.
pub(crate) const MAJORITY_WAIT: Duration = Duration::from_secs(10);
/// How often a server is asked how it is, where the URI does not say: after a lost connection it
/// may take as long until it is used again, and the client's own 10 s are longer than a failover.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// What this application is called, where the URI does not say.
const APPLICATION: &str = "zaqar";
/// Connections at most, where the URI does not say.
const POOL_SIZE: u32 = 64;

/// A URI, understood.
#[derive(Debug)]
pub(crate) struct MongoConfig {
    pub(crate) client: ClientOptions,
    /// The name under which the server knows this application.
    pub(crate) application: String,
    pub(crate) database: String,
    /// Where the store is, without credentials.
    pub(crate) location: String,
    /// What the URI asks for that may lose messages: setting, value, safe value.
    pub(crate) unsafe_setting: Option<Unsafe>,
    /// How every write is acknowledged.
    pub(crate) write_concern: WriteConcern,
}

/// A setting that may lose messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsafe {
    pub(crate) setting: &'static str,
    pub(crate) value: String,
    pub(crate) safe: &'static str,
}

impl Unsafe {
    pub(crate) fn new(setting: &'static str, value: impl Into<String>, safe: &'static str) -> Self {
        Self { setting, value: value.into(), safe }
    }

    /// A sentence for the operator.
    pub(crate) fn warning(&self) -> String {
        let Self { setting, value, safe } = self;
        format!("the store may lose messages: {setting} is {value}, must be {safe}")
    }
}

impl From<Unsafe> for OpenError {
    fn from(found: Unsafe) -> Self {
        Self::Unsafe {
            setting: found.setting.to_owned(),
            value: found.value,
            safe: found.safe.to_owned(),
        }
    }
}

impl MongoConfig {
    /// Understands a URI. With `unreliable`, a weaker acknowledgement that it asks for is given.
    pub(crate) async fn parse(uri: &str, unreliable: bool) -> Result<Self, OpenError> {
        let mut client = ClientOptions::parse(uri).await.map_err(|error| {
            // The client's words may quote the URI, and that may hold a password.
            tracing::debug!(kind = std::any::type_name_of_val(&error), "URI not understood");
            OpenError::InvalidUri { reason: "it is not a MongoDB connection string".to_owned() }
        })?;
        let unsafe_setting = weakness(&client);
        let mut write_concern = WriteConcern::majority();
        write_concern.journal = Some(true);
        write_concern.w_timeout = Some(MAJORITY_WAIT);
        if unreliable && let Some(asked) = client.write_concern.take() {
            write_concern.w = asked.w.or(write_concern.w);
            write_concern.journal = asked.journal.or(write_concern.journal);
        }
        let database = client.default_database.clone().unwrap_or(DATABASE_DEFAULT.to_owned());
        let hosts: Vec<String> = client.hosts.iter().map(ToString::to_string).collect();
        let location = format!("{}/{database}", hosts.join(","));
        client.write_concern = Some(write_concern.clone());
        client.read_concern = Some(ReadConcern::majority());
        client.selection_criteria =
            Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        // Nothing is sent twice but what this driver sends again itself, and knows why.
        client.retry_writes = Some(false);
        client.server_selection_timeout = Some(SERVER_SELECTION);
        client.max_pool_size.get_or_insert(POOL_SIZE);
        client.heartbeat_freq.get_or_insert(HEARTBEAT);
        let application = client.app_name.get_or_insert_with(|| APPLICATION.to_owned()).clone();
        Ok(Self { client, application, database, location, unsafe_setting, write_concern })
    }
}

/// What a URI asks for that may lose messages, or show less than there is.
fn weakness(client: &ClientOptions) -> Option<Unsafe> {
    let asked = client.write_concern.as_ref();
    if let Some(w) = asked.and_then(|asked| asked.w.as_ref())
        && *w != Acknowledgment::Majority
    {
        let value = match w {
            Acknowledgment::Nodes(nodes) => nodes.to_string(),
            Acknowledgment::Custom(tag) => tag.clone(),
            _ => "something else".to_owned(),
        };
        return Some(Unsafe::new("w", value, "majority"));
    }
    if asked.and_then(|asked| asked.journal) == Some(false) {
        return Some(Unsafe::new("journal", "false", "true"));
    }
    match &client.selection_criteria {
        None | Some(SelectionCriteria::ReadPreference(ReadPreference::Primary)) => None,
        Some(_) => Some(Unsafe::new("readPreference", "not the primary", "primary")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(query: &str) -> MongoConfig {
        let uri = format!("mongodb://user:secret@h1,h2:27018/shop{query}");
        MongoConfig::parse(&uri, false).await.unwrap()
    }

    #[tokio::test]
    async fn what_the_uri_asks_for_is_forced_to_majority_and_journal() {
        let config = parse("?retryWrites=true&readConcernLevel=local").await;
        assert_eq!(config.unsafe_setting, None);
        assert_eq!(config.write_concern.w, Some(Acknowledgment::Majority));
        assert_eq!(config.write_concern.journal, Some(true));
        assert_eq!(config.client.retry_writes, Some(false));
        assert_eq!(config.client.read_concern, Some(ReadConcern::majority()));
        assert_eq!(config.location, "h1:27017,h2:27018/shop");
    }

    #[tokio::test]
    async fn each_weakness_of_a_uri_is_named() {
        for (query, setting, value) in [
            ("?w=1", "w", "1"),
            ("?w=0", "w", "0"),
            ("?w=majority&journal=false", "journal", "false"),
            ("?readPreference=secondaryPreferred", "readPreference", "not the primary"),
        ] {
            let found = parse(query).await.unsafe_setting.unwrap();
            assert_eq!((found.setting, found.value.as_str()), (setting, value));
        }
        assert_eq!(parse("?w=majority&journal=true").await.unsafe_setting, None);
    }

    #[tokio::test]
    async fn a_uri_that_is_none_is_refused_without_being_repeated() {
        let refused = MongoConfig::parse("mongodb://user:secret@", false).await.unwrap_err();
        assert!(!format!("{refused:?} {refused}").contains("secret"), "{refused:?}");
    }
}
