//! A Keystone of which only the token API is there, and that does what a test tells it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use zaqar_core::{Clock, Timestamp};

pub(crate) const USER: &str = "zaqar";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// How it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should.
    #[default]
    Well,
    /// Not before its mood changes.
    Hanging,
    /// As if it had not given out the service's own token.
    Forgetful,
    /// With this status.
    Status(u16),
    /// With this text, whatever was asked.
    Nonsense(String),
}

#[derive(Clone)]
struct Issued {
    document: Value,
    expires_at: Timestamp,
}

struct Told {
    clock: Arc<dyn Clock>,
    mood: watch::Sender<Mood>,
    tokens: Mutex<HashMap<String, Issued>>,
    /// The service's own token that holds; a new one takes the place of the old one.
    own: Mutex<String>,
    logins: AtomicUsize,
    validations: AtomicUsize,
}

/// It runs on a thread of its own, and all of it is gone when it is dropped.
pub(crate) struct Stub {
    address: SocketAddr,
    told: Arc<Told>,
    runtime: Option<Runtime>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.end();
    }
}

impl Stub {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let told = Arc::new(Told {
            clock,
            mood: watch::Sender::default(),
            tokens: Mutex::default(),
            own: Mutex::default(),
            logins: AtomicUsize::default(),
            validations: AtomicUsize::default(),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let router = Router::new()
            .route("/identity/v3/auth/tokens", get(validate).post(log_in))
            .with_state(Arc::clone(&told));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
        Self { address, told, runtime: Some(runtime) }
    }

    /// Ends it, its open connections too.
    pub(crate) fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/identity", self.address)
    }

    /// Gives out a token for a project, with these roles.
    pub(crate) fn issue(&self, token: &str, project: &str, roles: &[&str], life_s: u64) {
        let project = json!({"id": project, "name": "a project", "domain": {"id": "default"}});
        self.issue_for(token, Some(project), roles, life_s);
    }

    /// Gives out a token for no project.
    pub(crate) fn issue_unscoped(&self, token: &str, life_s: u64) {
        self.issue_for(token, None, &[], life_s);
    }

    fn issue_for(&self, token: &str, project: Option<Value>, roles: &[&str], life_s: u64) {
        let expires_at = in_seconds(&self.told, life_s);
        let roles: Vec<Value> = roles.iter().map(|name| json!({"id": "r", "name": name})).collect();
        let mut document = json!({
            "methods": ["password"],
            "user": {"id": "alice", "name": "Alice", "domain": {"id": "default", "name": "D"}},
            "expires_at": text(expires_at),
        });
        if let Some(project) = project {
            document["project"] = project;
            document["roles"] = roles.into();
        }
        let issued = Issued { document, expires_at };
        self.told.tokens.lock().unwrap().insert(token.to_owned(), issued);
    }

    pub(crate) fn revoke(&self, token: &str) {
        self.told.tokens.lock().unwrap().remove(token).unwrap();
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.told.mood.send_replace(mood);
    }

    /// Ends the service's own token before its time.
    pub(crate) fn end_own_token(&self) {
        self.told.own.lock().unwrap().clear();
    }

    /// How often it was asked about a token.
    pub(crate) fn validations(&self) -> usize {
        self.told.validations.load(Ordering::SeqCst)
    }

    /// How often somebody tried to log in.
    pub(crate) fn logins(&self) -> usize {
        self.told.logins.load(Ordering::SeqCst)
    }
}

fn in_seconds(told: &Told, life_s: u64) -> Timestamp {
    Timestamp::from_millis(told.clock.now().as_millis() + i64::try_from(life_s).unwrap() * 1_000)
}

/// As Keystone writes it.
fn text(moment: Timestamp) -> String {
    let nanos = i128::from(moment.as_millis()) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap().format(&Rfc3339).unwrap()
}

/// What the mood makes of a request; `None`: an honest answer.
async fn moody(told: &Told) -> Option<Response> {
    let mut moods = told.mood.subscribe();
    let mood = moods.wait_for(|mood| *mood != Mood::Hanging).await.unwrap().clone();
    match mood {
        Mood::Well | Mood::Hanging | Mood::Forgetful => None,
        Mood::Status(status) => Some(StatusCode::from_u16(status).unwrap().into_response()),
        Mood::Nonsense(text) => Some(text.into_response()),
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

async fn validate(State(told): State<Arc<Told>>, headers: HeaderMap) -> Response {
    told.validations.fetch_add(1, Ordering::SeqCst);
    if let Some(answer) = moody(&told).await {
        return answer;
    }
    let own = told.own.lock().unwrap().clone();
    if *told.mood.borrow() == Mood::Forgetful
        || own.is_empty()
        || header(&headers, "x-auth-token") != own
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let subject = header(&headers, "x-subject-token");
    let known = told.tokens.lock().unwrap().get(subject).cloned();
    match known.filter(|issued| told.clock.now() < issued.expires_at) {
        Some(issued) => json!({"token": issued.document}).to_string().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn log_in(State(told): State<Arc<Told>>, request: Request) -> Response {
    let login = told.logins.fetch_add(1, Ordering::SeqCst);
    if let Some(answer) = moody(&told).await {
        return answer;
    }
    let body = to_bytes(request.into_body(), 65_536).await.unwrap();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let user = json!({"name": USER, "domain": {"name": "Default"}, "password": PASSWORD});
    let scope = json!({"project": {"name": "service", "domain": {"name": "Default"}}});
    let is_right = asked["auth"]["identity"]["password"]["user"] == user;
    if !is_right || asked["auth"]["scope"] != scope {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let token = format!("own-token-{login}");
    told.own.lock().unwrap().clone_from(&token);
    let expires_at = text(in_seconds(&told, 3_600));
    let document = json!({"token": {"user": {"id": "zaqar"}, "expires_at": expires_at}});
    Response::builder()
        .status(StatusCode::CREATED)
        .header("x-subject-token", token)
        .body(Body::from(document.to_string()))
        .unwrap()
}
