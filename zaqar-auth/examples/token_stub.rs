//! A Keystone of which only the token API is there, for measuring what authentication costs.
//!
//! `cargo run --release -p zaqar-auth --example token_stub -- 127.0.0.1:5000 1000 > tokens` serves until it is
//! killed. It knows as many users as the number says, each with a token, which it prints, one a
//! line; all are members of the project `zaqar-bench`. Any password logs in.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zaqar_core::{Clock, DisciplinedClock, Ttl};

/// As long as Keystone's own tokens are.
const TOKEN_CHARS: usize = 183;

struct Stub {
    users: usize,
    expires_at: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().context("the first argument is an address to listen on")?;
    let users = arguments.next().context("the second argument is the number of users")?;
    let users = users.parse().context("the second argument is a number")?;
    let year = Ttl::from_secs_clamped(365 * 86_400);
    let end = DisciplinedClock::from_system().now().after(year);
    let end = OffsetDateTime::from_unix_timestamp(end.as_secs())?;
    for user in 0..users {
        println!("{}", token(user));
    }
    let stub = Arc::new(Stub { users, expires_at: end.format(&Rfc3339)? });
    let router =
        Router::new().route("/v3/auth/tokens", get(validate).post(log_in)).with_state(stub);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    Ok(axum::serve(listener, router).await?)
}

fn token(user: usize) -> String {
    format!("{user:0>TOKEN_CHARS$}")
}

async fn log_in(State(stub): State<Arc<Stub>>) -> Response {
    let document = json!({"token": {"user": {"id": "zaqar"}, "expires_at": stub.expires_at}});
    (StatusCode::CREATED, [("x-subject-token", "own")], document.to_string()).into_response()
}

async fn validate(State(stub): State<Arc<Stub>>, headers: HeaderMap) -> Response {
    let subject = headers.get("x-subject-token").and_then(|token| token.to_str().ok());
    let user = subject.filter(|token| token.len() == TOKEN_CHARS);
    let user = user.and_then(|token| token.parse::<usize>().ok()).filter(|user| *user < stub.users);
    let Some(user) = user else { return StatusCode::NOT_FOUND.into_response() };
    let token = json!({
        "methods": ["password"],
        "user": {"id": format!("user-{user}"), "name": "u", "domain": {"id": "default"}},
        "project": {"id": "zaqar-bench", "name": "zaqar-bench", "domain": {"id": "default"}},
        "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "reader"}],
        "expires_at": stub.expires_at,
    });
    json!({"token": token}).to_string().into_response()
}
