//! Stores beside a store, made to be removed: where the conformance suite asks a configured backend
//! without touching what is in it.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::error::Error as Native;
use mongodb::options::ReadConcern;
use zaqar_core::OpenError;

use crate::config::MongoConfig;
use crate::error::open_error;

/// How long nothing must have happened in a transaction whose process is taken for dead.
const IDLE: Duration = Duration::from_secs(1);

/// Where a store called `name` lies beside the one at `uri`: a database of the same deployment, under
/// the same settings and the same account. Its sessions bear the name too, so that they and those of
/// the servers on the configured store never take each other's for abandoned. Nothing is made yet.
///
/// # Errors
/// `InvalidUri` if `uri` is none, or `name` holds other than lower-case letters and digits.
pub fn uri(uri: &str, name: &str) -> Result<String, OpenError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
        let reason = "a scratch store is named by 1 to 32 lower-case letters and digits".to_owned();
        return Err(OpenError::InvalidUri { reason });
    }
    let (address, query) = uri.split_once('?').unwrap_or((uri, ""));
    let invalid = || OpenError::InvalidUri { reason: "it names no scheme".to_owned() };
    let (scheme, rest) = address.split_once("://").ok_or_else(invalid)?;
    let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
    let given = query.split('&').filter(|part| !part.is_empty() && key_of(part) != "appname");
    let mut options: Vec<String> = given.map(str::to_owned).collect();
    options.push(format!("appName={name}"));
    if let Some(source) = source_implied(server, database, query) {
        options.push(format!("authSource={source}"));
    }
    Ok(format!("{scheme}://{server}/{name}?{}", options.join("&")))
}

/// The name of an option, of which the case does not matter.
fn key_of(option: &str) -> String {
    option.split('=').next().unwrap_or_default().to_ascii_lowercase()
}

/// Where the account is known, if it is the database of the URI that decides that: it must stay so.
fn source_implied<'u>(server: &str, database: &'u str, query: &str) -> Option<&'u str> {
    let value = |name: &str| {
        let option = query.split('&').find(|option| key_of(option) == name)?;
        option.split_once('=').map(|(_, value)| value.to_ascii_lowercase())
    };
    if !server.contains('@') || value("authsource").is_some() {
        return None;
    }
    match (value("authmechanism").as_deref(), database) {
        (None | Some("scram-sha-1" | "scram-sha-256"), "") => Some("admin"),
        (Some("plain"), "") => Some("$external"),
        (None | Some("scram-sha-1" | "scram-sha-256" | "plain"), database) => Some(database),
        // What the others are known by is no database.
        _ => None,
    }
}

/// Removes the store called `name` beside the one at `uri`, with all that it holds; silent if there
/// is none. Its handles must be closed. A transaction that a killed process left open is ended.
///
/// # Errors
/// As [`uri`]; `Backend` if the deployment cannot be reached or refuses: some of the store may be left.
pub async fn remove(uri: &str, name: &str) -> Result<(), OpenError> {
    let config = MongoConfig::parse(&self::uri(uri, name)?, true).await?;
    let client = Client::with_options(config.client).map_err(|error| open_error(&error))?;
    let dropped = drop_database(&client, name).await;
    client.shutdown().immediate(true).await;
    dropped.map_err(|error| open_error(&error))
}

async fn drop_database(client: &Client, name: &str) -> Result<(), Native> {
    let database = client.database(name);
    let mut drop = Box::pin(database.run_command(doc! { "dropDatabase": 1 }).into_future());
    // It waits for open transactions, and everybody for it: a process that was killed left its own.
    loop {
        match tokio::time::timeout(IDLE, &mut drop).await {
            Ok(dropped) => return dropped.map(|_| ()),
            Err(_) => end_idle_transactions(client, name).await?,
        }
    }
}

/// Ends the transactions of that store's processes in which nothing happens any more, and nobody
/// else's.
async fn end_idle_transactions(client: &Client, name: &str) -> Result<(), Native> {
    let admin = client.database("admin");
    let idle = i64::try_from(IDLE.as_micros()).unwrap_or(i64::MAX);
    let pipeline = [
        doc! { "$currentOp": { "allUsers": false, "idleSessions": true } },
        doc! { "$match": {
            "type": "idleSession",
            "appName": name,
            "transaction.timeInactiveMicros": { "$gte": idle },
        } },
    ];
    // What goes on is known to the server itself, and no majority is asked.
    let local = ReadConcern::local();
    let mut cursor = admin.aggregate(pipeline).read_concern(local).await?;
    while cursor.advance().await? {
        let found: Document = cursor.deserialize_current()?;
        let session = found.get_document("lsid").ok().and_then(|lsid| lsid.get("id"));
        if let Some(id) = session {
            admin.run_command(doc! { "killSessions": [{ "id": id }] }).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_looked_up_where_it_was() {
        for (store, wanted) in [
            ("mongodb://h1,h2/?replicaSet=r", "h1,h2/x1?replicaSet=r&appName=x1"),
            ("mongodb://h", "h/x1?appName=x1"),
            ("mongodb://u:p@h/shop?appName=a", "u:p@h/x1?appName=x1&authSource=shop"),
            ("mongodb://u:p@h/shop?authSource=ops", "u:p@h/x1?authSource=ops&appName=x1"),
            ("mongodb://u:p@h", "u:p@h/x1?appName=x1&authSource=admin"),
            (
                "mongodb://u@h/d?authMechanism=MONGODB-X509",
                "u@h/x1?authMechanism=MONGODB-X509&appName=x1",
            ),
        ] {
            let wanted = format!("mongodb://{wanted}");
            assert_eq!(uri(store, "x1").unwrap(), wanted);
        }
        for name in ["", "a.b", "a$", "A", "a/b"] {
            assert!(
                matches!(uri("mongodb://h", name), Err(OpenError::InvalidUri { .. })),
                "{name}"
            );
        }
    }
}
