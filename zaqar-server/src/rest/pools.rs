//! Pools: what an administrator sees and does, with `admin_mode` and `pooling`.

use http::StatusCode;
use http::header::HeaderName;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zaqar_core::{Error, FlavorName, JsonObject, Pool, PoolName};
use zaqar_engine::{ChangePool, EngineError, NewPool};

use super::answers::{Answer, Outcome};
use super::errors::{Failure, Operation, UNDELETABLE};
use super::json::write::to_text;
use super::listed::{Collection, name_in_path, small_document};
use super::payload::Payload;
use super::routes::Call;
use crate::config::value::StoreUri;

const CONTENT_LOCATION: HeaderName = HeaderName::from_static("content-location");
/// Longest URI of a pool.
const URI_CHARS_MAX: usize = 255;

/// A pool as a client asks for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    uri: String,
    weight: u32,
    flavor: Option<String>,
    options: Option<JsonObject>,
}

/// What a client changes of one; other members are passed over.
#[derive(Deserialize)]
struct Changed {
    uri: Option<String>,
    weight: Option<u32>,
    flavor: Option<String>,
    options: Option<JsonObject>,
}

/// `GET /v2/pools`
pub(crate) async fn list(call: &Call<'_>) -> Outcome {
    required(call)?;
    let collection = Collection::new(call, "/v2/pools", call.limits().pools_per_page_max)?;
    let marker = collection.marker::<PoolName>();
    let operation = Operation::service("Pools could not be listed.");
    let page = call.engine().pool_list(marker.as_ref(), collection.limit).await;
    let page = page.map_err(|error| operation.failed(error))?;
    let detailed = collection.detailed.unwrap_or(false);
    let pools: Vec<Value> = page.items.iter().map(|pool| shown(pool, detailed)).collect();
    let links = collection.links(page.next.as_ref().map(PoolName::as_str));
    let here = match call.query {
        "" => "/v2/pools".to_owned(),
        query => format!("/v2/pools?{query}"),
    };
    let body = to_text(&json!({"links": links, "pools": pools}));
    Ok(Answer::ok(body).header(CONTENT_LOCATION, here))
}

/// `GET /v2/pools/{pool}`
pub(crate) async fn get(call: &Call<'_>, _: &mut Payload) -> Outcome {
    required(call)?;
    let name = name(call)?;
    let detailed = call.query().boolean("detailed")?.unwrap_or(false);
    let pool = call.engine().pool_get(&name).await;
    let pool = pool.map_err(|error| failed("Pool could not be read.", error))?;
    Ok(Answer::ok(to_text(&shown(&pool, detailed))))
}

/// `PUT /v2/pools/{pool}`
pub(crate) async fn put(call: &Call<'_>, payload: &mut Payload) -> Outcome {
    required(call)?;
    let name = name(call)?;
    let Wanted { uri, weight, flavor, options } = small_document(payload).await?;
    checked_uri(&uri)?;
    let location = format!("/v2/pools/{name}");
    let shown_uri = redacted(&uri);
    let flavor = checked_flavor(flavor)?.flatten();
    let pool = NewPool { name, uri, weight, flavor, options: options.unwrap_or_default() };
    let stored = call.engine().pool_put(pool).await;
    stored.map_err(|error| unstored("Pool could not be created.", &shown_uri, error))?;
    Ok(Answer::empty(StatusCode::CREATED).location(location))
}

/// `PATCH /v2/pools/{pool}`
pub(crate) async fn patch(call: &Call<'_>, payload: &mut Payload) -> Outcome {
    required(call)?;
    let name = name(call)?;
    let Changed { uri, weight, flavor, options } = small_document(payload).await?;
    if uri.is_none() && weight.is_none() && flavor.is_none() && options.is_none() {
        let text = "One of `uri`, `weight`, `flavor`, or `options` needs to be specified";
        return Err(Failure::body(text));
    }
    uri.as_deref().map_or(Ok(()), checked_uri)?;
    let shown_uri = uri.as_deref().map(redacted).unwrap_or_default();
    let changes = ChangePool { uri, weight, flavor: checked_flavor(flavor)?, options };
    let pool = call.engine().pool_update(&name, changes).await;
    let pool = pool.map_err(|error| unstored("Pool could not be updated.", &shown_uri, error))?;
    Ok(Answer::ok(to_text(&shown(&pool, false))))
}

/// `DELETE /v2/pools/{pool}`
pub(crate) async fn delete(call: &Call<'_>, _: &mut Payload) -> Outcome {
    required(call)?;
    let removed = call.engine().pool_delete(&name(call)?).await;
    removed.map_err(|error| failed("Pool could not be deleted.", error))?;
    Ok(Answer::no_content())
}

/// 404 without pools: there is nothing of the kind.
pub(super) fn required(call: &Call<'_>) -> Result<(), Failure> {
    if call.engine().has_pools() { Ok(()) } else { Err(Failure::no_route()) }
}

fn name(call: &Call<'_>) -> Result<PoolName, Failure> {
    name_in_path(call.id, "pool")
}

fn checked_uri(uri: &str) -> Result<(), Failure> {
    if uri.chars().count() <= URI_CHARS_MAX {
        return Ok(());
    }
    Err(Failure::body(format!("uri may not be longer than {URI_CHARS_MAX} characters")))
}

/// The flavor that was named; an empty one is none.
fn checked_flavor(flavor: Option<String>) -> Result<Option<Option<FlavorName>>, Failure> {
    let name = |text: String| match text.as_str() {
        "" => Ok(None),
        text => FlavorName::new(text).map(Some).map_err(|e| Failure::body(e.to_string())),
    };
    flavor.map(name).transpose()
}

/// A URI as it may be shown: without the password that it may hold.
fn redacted(uri: &str) -> String {
    StoreUri::from(uri).redacted()
}

fn shown(pool: &Pool, detailed: bool) -> Value {
    let Pool { name, weight, uri, flavor, options, .. } = pool;
    let mut shown = Map::new();
    shown.insert("href".to_owned(), format!("/v2/pools/{name}").into());
    shown.insert("name".to_owned(), name.as_str().into());
    shown.insert("flavor".to_owned(), flavor.as_ref().map(FlavorName::as_str).into());
    shown.insert("uri".to_owned(), redacted(uri).into());
    shown.insert("weight".to_owned(), (*weight).into());
    if detailed {
        shown.insert("options".to_owned(), Value::Object(options.clone()));
    }
    shown.into()
}

fn failed(stem: &'static str, error: EngineError) -> Failure {
    match error {
        EngineError::Store(Error::PoolNotFound { name }) => {
            Failure::not_found(format!("Pool {name} does not exist"))
        }
        EngineError::Store(Error::PoolInUse { flavor, .. }) => {
            undeletable(format!("This pool is used by flavors {flavor}; It cannot be deleted."))
        }
        EngineError::PoolHoldsQueues { name } => {
            undeletable(format!("Pool {name} holds queues; they would be out of reach."))
        }
        EngineError::Store(Error::PoolUriInUse) => {
            Failure::conflict("The database URI is in use by another pool.")
        }
        other => Operation { queue: None, stem, writes: true }.failed(other),
    }
}

fn undeletable(text: String) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, UNDELETABLE, text)
}

/// Why a pool was not stored as asked.
fn unstored(stem: &'static str, uri: &str, error: EngineError) -> Failure {
    match error {
        EngineError::PoolUnreachable => Failure::body(format!("cannot connect to {uri}")),
        EngineError::PoolHoldsQueues { name } => {
            let text = format!("Pool {name} holds queues that are not found there.");
            Failure::new(StatusCode::FORBIDDEN, "Unable to move pool", text)
        }
        EngineError::Store(Error::PoolCapabilitiesMismatch) => Failure::new(
            StatusCode::BAD_REQUEST,
            "Unable to create pool",
            "The pool being added does not support the minimum set of capabilities",
        ),
        other => failed(stem, other),
    }
}
