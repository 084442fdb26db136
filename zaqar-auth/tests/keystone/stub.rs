//! A Keystone of which only the token API is there, and that does what a test tells it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use zaqar_auth::keystone::{Credentials, KeystoneConfig};
use zaqar_core::{Clock, Timestamp};

const USER: &str = "zaqar";
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

pub(crate) struct Told {
    clock: Arc<dyn Clock>,
    mood: watch::Sender<Mood>,
    tokens: Mutex<HashMap<String, Issued>>,
    /// The service's own token that holds; a new one takes the place of the old one.
    pub(crate) own: Mutex<String>,
    pub(crate) logins: AtomicUsize,
    /// The trusts that were given, whose ids are `trust-0` and so on.
    pub(crate) trusts: Mutex<Vec<Value>>,
    validations: AtomicUsize,
}

/// It runs on a thread of its own, and all of it is gone when it is dropped.
pub(crate) struct Stub {
    address: SocketAddr,
    pub(crate) told: Arc<Told>,
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
            trusts: Mutex::default(),
            validations: AtomicUsize::default(),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let router = Router::new()
            .route("/identity/v3/auth/tokens", get(validate).post(log_in))
            .route("/identity/v3/OS-TRUST/trusts", post(trust))
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

    /// How often it was asked about a token.
    pub(crate) fn validations(&self) -> usize {
        self.told.validations.load(Ordering::SeqCst)
    }
}

/// What asks the Keystone at `url`, as a user that a stub knows.
pub(crate) fn config(url: &str) -> KeystoneConfig {
    let credentials = Credentials {
        username: USER.to_owned(),
        password: PASSWORD.into(),
        user_domain_name: "Default".to_owned(),
        project_name: "service".to_owned(),
        project_domain_name: "Default".to_owned(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut config = KeystoneConfig::new(url.parse().unwrap(), credentials, tls);
    // Nothing here waits for so long unless that is the point.
    config.request_timeout = Duration::from_secs(60);
    config.connect_timeout = Duration::from_secs(60);
    config
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
    if asked["auth"]["identity"]["password"]["user"] != user {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let token = match asked["auth"]["scope"]["OS-TRUST:trust"]["id"].as_str() {
        Some(id) if is_given(&told, id) => format!("token-on-{id}-{login}"),
        None if asked["auth"]["scope"] == scope => {
            let token = format!("own-token-{login}");
            told.own.lock().unwrap().clone_from(&token);
            token
        }
        _ => return StatusCode::FORBIDDEN.into_response(),
    };
    let expires_at = text(in_seconds(&told, 3_600));
    let document = json!({"token": {"user": {"id": "zaqar"}, "expires_at": expires_at}});
    Response::builder()
        .status(StatusCode::CREATED)
        .header("x-subject-token", token)
        .body(Body::from(document.to_string()))
        .unwrap()
}

fn is_given(told: &Told, id: &str) -> bool {
    let trusts = told.trusts.lock().unwrap();
    let number = id.strip_prefix("trust-").and_then(|number| number.parse::<usize>().ok());
    let given = number.and_then(|number| trusts.get(number));
    given.is_some_and(|trust| {
        let end = trust["expires_at"].as_str().unwrap();
        let end = OffsetDateTime::parse(end, &Rfc3339).unwrap().unix_timestamp();
        told.clock.now().as_secs() < end
    })
}

/// A trust is given by whoever the token belongs to, for the project and the roles of the token.
async fn trust(State(told): State<Arc<Told>>, request: Request) -> Response {
    if let Some(answer) = moody(&told).await {
        return answer;
    }
    let token = header(request.headers(), "x-auth-token").to_owned();
    let body = to_bytes(request.into_body(), 65_536).await.unwrap();
    let asked: Value = serde_json::from_slice::<Value>(&body).unwrap()["trust"].clone();
    let known = told.tokens.lock().unwrap().get(&token).cloned();
    let Some(trustor) = known else { return StatusCode::UNAUTHORIZED.into_response() };
    let names = |roles: &Value| -> Vec<Value> {
        roles.as_array().unwrap().iter().map(|role| role["name"].clone()).collect()
    };
    let is_own = asked["trustor_user_id"] == trustor.document["user"]["id"]
        && asked["project_id"] == trustor.document["project"]["id"]
        && names(&asked["roles"]) == names(&trustor.document["roles"])
        && asked["trustee_user_id"] == "zaqar"
        && asked["impersonation"] == true;
    if !is_own {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut trusts = told.trusts.lock().unwrap();
    let id = format!("trust-{}", trusts.len());
    trusts.push(asked);
    (StatusCode::CREATED, json!({"trust": {"id": id}}).to_string()).into_response()
}
