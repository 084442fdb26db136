//! Flavors: named sets of pools, with `admin_mode` and `pooling`.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zaqar_core::{Capability, Error, FlavorName, JsonObject, PoolName};
use zaqar_engine::{EngineError, FlavorView};

use super::answers::{Answer, Outcome};
use super::errors::{Failure, Operation};
use super::json::write::to_text;
use super::listed::{Collection, name_in_path, small_document};
use super::payload::Payload;
use super::pools::required;
use super::routes::Call;

/// What clients call the capabilities that they know, in their order.
const CAPABILITIES: [(Capability, &str); 5] = [
    (Capability::Fifo, "FIFO"),
    (Capability::Claims, "CLAIMS"),
    (Capability::Durable, "DURABILITY"),
    (Capability::AtLeastOnce, "AOD"),
    (Capability::HighThroughput, "HIGH_THROUGHPUT"),
];

/// A flavor as a client asks for it. What its pools can do is what they can do, whatever is said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    pool_list: Vec<String>,
    #[serde(rename = "capabilities")]
    _capabilities: Option<JsonObject>,
}

/// What a client changes of one; other members are passed over.
#[derive(Deserialize)]
struct Changed {
    pool_list: Option<Vec<String>>,
}

/// `GET /v2/flavors`
pub(crate) async fn list(call: &Call<'_>) -> Outcome {
    required(call)?;
    let collection = Collection::new(call, "/v2/flavors", call.limits().flavors_per_page_max)?;
    let marker = collection.marker::<FlavorName>();
    let operation = Operation::service("Flavors could not be listed.");
    let page = call.engine().flavor_list(call.project(), marker.as_ref(), collection.limit).await;
    let page = page.map_err(|error| operation.failed(error))?;
    let detailed = collection.detailed.unwrap_or(false);
    let flavors: Vec<Value> = page.items.iter().map(|flavor| shown(flavor, detailed)).collect();
    let links = collection.links(page.next.as_ref().map(FlavorName::as_str));
    Ok(Answer::ok(to_text(&json!({"links": links, "flavors": flavors}))))
}

/// `GET /v2/flavors/{flavor}`
pub(crate) async fn get(call: &Call<'_>, _: &mut Payload) -> Outcome {
    required(call)?;
    let name = name(call)?;
    let flavor = call.engine().flavor_get(call.project(), &name).await;
    let flavor = flavor.map_err(|error| failed("Flavor could not be read.", error))?;
    Ok(Answer::ok(to_text(&shown(&flavor, true))))
}

/// `PUT /v2/flavors/{flavor}`
pub(crate) async fn put(call: &Call<'_>, payload: &mut Payload) -> Outcome {
    required(call)?;
    let name = name(call)?;
    let wanted: Wanted = small_document(payload).await?;
    let location = format!("/v2/flavors/{name}");
    if wanted.pool_list.is_empty() {
        return Err(uncreatable("Bad Request").location(location));
    }
    let refused = |missing: &str| {
        uncreatable(format!(
            "Flavor {name} could not be created, error:Pool {missing} does not exist"
        ))
    };
    let pools = pool_names(&wanted.pool_list).map_err(refused)?;
    match call.engine().flavor_put(call.project(), &name, pools).await {
        Ok(()) => Ok(Answer::empty(StatusCode::CREATED).location(location)),
        Err(EngineError::Store(Error::PoolNotFound { name })) => Err(refused(name.as_str())),
        Err(error) => Err(failed("Flavor could not be created.", error)),
    }
}

/// `PATCH /v2/flavors/{flavor}`
pub(crate) async fn patch(call: &Call<'_>, payload: &mut Payload) -> Outcome {
    required(call)?;
    let name = name(call)?;
    let changed: Changed = small_document(payload).await?;
    let missing = || Failure::body("`pool_list` needs to be specified");
    let pool_list = changed.pool_list.ok_or_else(missing)?;
    let stem = "Flavor could not be updated.";
    // Whether it is there is told before anything about its pools.
    let known = call.engine().flavor_get(call.project(), &name).await;
    known.map_err(|error| failed(stem, error))?;
    if pool_list.is_empty() {
        return Err(uncreatable("Bad Request"));
    }
    let refused = |missing: &str| {
        let text = format!("Flavor {name} cant be updated, error:Pool {missing} does not exist");
        Failure::new(StatusCode::BAD_REQUEST, "updatefail", text)
    };
    let pools = pool_names(&pool_list).map_err(refused)?;
    match call.engine().flavor_update(call.project(), &name, pools).await {
        Ok(flavor) => Ok(Answer::ok(to_text(&shown(&flavor, true)))),
        Err(EngineError::Store(Error::PoolNotFound { name })) => Err(refused(name.as_str())),
        Err(error) => Err(failed(stem, error)),
    }
}

/// `DELETE /v2/flavors/{flavor}`
pub(crate) async fn delete(call: &Call<'_>, _: &mut Payload) -> Outcome {
    required(call)?;
    let removed = call.engine().flavor_delete(call.project(), &name(call)?).await;
    removed.map_err(|error| failed("Flavor could not be deleted.", error))?;
    Ok(Answer::no_content())
}

fn name(call: &Call<'_>) -> Result<FlavorName, Failure> {
    name_in_path(call.id, "flavor")
}

/// The pools of these names; the first name that none can have.
fn pool_names(names: &[String]) -> Result<Vec<PoolName>, &str> {
    names.iter().map(|name| PoolName::new(name).map_err(|_| name.as_str())).collect()
}

fn shown(flavor: &FlavorView, detailed: bool) -> Value {
    let FlavorView { name, pools, capabilities } = flavor;
    let mut shown = Map::new();
    shown.insert("href".to_owned(), format!("/v2/flavors/{name}").into());
    shown.insert("name".to_owned(), name.as_str().into());
    if !pools.is_empty() {
        let pools: Vec<&str> = pools.iter().map(PoolName::as_str).collect();
        shown.insert("pool_list".to_owned(), pools.into());
    }
    if detailed {
        let known = CAPABILITIES.iter().filter(|(capability, _)| capabilities.has(*capability));
        let words: Vec<&str> = known.map(|(_, word)| *word).collect();
        shown.insert("capabilities".to_owned(), words.into());
    }
    shown.into()
}

fn uncreatable(text: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, "Unable to create", text)
}

fn failed(stem: &'static str, error: EngineError) -> Failure {
    match error {
        EngineError::Store(Error::FlavorNotFound { name }) => {
            Failure::not_found(format!("Flavor {name} does not exist"))
        }
        EngineError::Store(Error::PoolCapabilitiesMismatch) => {
            uncreatable("The pools of a flavor must have the same capabilities")
        }
        other => Operation { queue: None, stem, writes: true }.failed(other),
    }
}
