//! `/v2/ping`: is the store there?

use http::StatusCode;

use super::answers::{Answer, Outcome};
use super::routes::Call;

/// `GET /v2/ping`: an answer without body either way.
pub(crate) async fn get(call: &Call<'_>) -> Outcome {
    match call.engine().ping().await {
        Ok(()) => Ok(Answer::no_content()),
        Err(error) => {
            tracing::warn!(%error, "ping failed");
            Ok(Answer::empty(StatusCode::SERVICE_UNAVAILABLE))
        }
    }
}

/// `HEAD /v2/ping`: the service itself answers.
pub(crate) async fn head(_: &Call<'_>) -> Outcome {
    Ok(Answer::no_content())
}
