//! What the administrators' collections, pools and flavors, have alike.

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zaqar_core::{InvalidId, PageLimit};

use super::errors::Failure;
use super::paging;
use super::payload::{Payload, json_text};
use super::query::{Link, Query};
use super::routes::Call;

/// A listing of a collection.
pub(super) struct Collection<'r> {
    query: Query<'r>,
    path: &'static str,
    pub(super) limit: PageLimit,
    pub(super) detailed: Option<bool>,
}

impl<'r> Collection<'r> {
    pub(super) fn new(
        call: &'r Call<'_>,
        path: &'static str,
        limit_max: u64,
    ) -> Result<Self, Failure> {
        let query = call.query();
        let refused =
            || Failure::api(format!("Limit must be at least 1 and no greater than {limit_max}."));
        let limit = paging::limit(&query, limit_max, refused)?;
        let detailed = query.boolean("detailed")?;
        Ok(Self { query, path, limit, detailed })
    }

    /// The name to start after; what nothing can be called is before everything.
    pub(super) fn marker<N: std::str::FromStr>(&self) -> Option<N> {
        self.query.last("marker").and_then(|text| text.parse().ok())
    }

    /// The link to the next page, if there may be one.
    pub(super) fn links(&self, next: Option<&str>) -> Vec<Value> {
        let link = |marker: &str| {
            let link = Link::to(self.path.to_owned())
                .with("marker", Some(marker))
                .with("limit", self.query.last("limit"))
                .with_boolean("detailed", self.detailed);
            json!({"rel": "next", "href": link.as_str()})
        };
        next.map(link).into_iter().collect()
    }
}

/// The name that ends a path.
pub(super) fn name_in_path<N>(text: &str, kind: &'static str) -> Result<N, Failure>
where
    N: std::str::FromStr<Err = InvalidId>,
{
    text.parse().map_err(|_| {
        let title = format!("Invalid {kind} identification");
        let text = format!("The format of the submitted {kind} name is not valid.");
        Failure::new(StatusCode::BAD_REQUEST, title, text)
    })
}

/// Reads a small document. What is wrong with one that is JSON is said in the words of its reader,
/// which name the member.
pub(super) async fn small_document<T: DeserializeOwned>(
    payload: &mut Payload,
) -> Result<T, Failure> {
    let bytes = payload.read_small().await?;
    let text = json_text(&bytes).map_err(|_| Failure::body("JSON could not be parsed."))?;
    serde_json::from_str(text).map_err(|error| Failure::body(error.to_string()))
}
