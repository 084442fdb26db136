//! Error answers: what a client is told, and what only the log is told.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ALLOW, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use zaqar_core::{Effect, Error, ErrorClass, QueueKey};
use zaqar_engine::EngineError;

use super::answers::respond;
use super::json::write::push_string;
use super::names::by_kind;
use crate::auth::Unknown;
use crate::limits::{Limited, RateExceeded};

/// How long whoever could not be authenticated is asked to wait, in seconds.
const IDENTITY_RETRY_AFTER: &str = "5";

type Text = Cow<'static, str>;

/// An error answer on its way out.
#[derive(Debug)]
pub(crate) struct Failure(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    title: Text,
    description: Option<Text>,
    /// Further members of the body, JSON text beginning with a comma.
    more: &'static str,
    header: Option<(HeaderName, String)>,
    /// The whole body, where clients know it in a form of its own.
    document: Option<&'static str>,
    cause: Option<EngineError>,
    /// Whether the service is as it should be although the status says that it failed.
    is_expected: bool,
}

/// 503: the project has asked too often. Clients take 429 for a success.
impl From<RateExceeded> for Failure {
    fn from(exceeded: RateExceeded) -> Self {
        let (status, text) = (StatusCode::SERVICE_UNAVAILABLE, exceeded.to_string());
        let mut failure = Self::new(status, "Rate limit reached", text).stored(Effect::None);
        failure.0.header = Some((RETRY_AFTER, exceeded.retry_after_s.to_string()));
        failure.0.is_expected = true;
        failure
    }
}

impl Failure {
    /// An error answer with title and description.
    pub(crate) fn new(
        status: StatusCode,
        title: impl Into<Text>,
        description: impl Into<Text>,
    ) -> Self {
        Self::from_parts(status, title.into(), Some(description.into()))
    }

    fn from_parts(status: StatusCode, title: Text, description: Option<Text>) -> Self {
        Self(Box::new(Parts {
            status,
            title,
            description,
            more: "",
            header: None,
            document: None,
            cause: None,
            is_expected: false,
        }))
    }

    /// 400: the request asks for something that it may not ask for.
    pub(crate) fn api(description: impl Into<Text>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Invalid API request", description)
    }

    /// 400: the body is not what this request takes.
    pub(crate) fn body(description: impl Into<Text>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Invalid request body", description)
    }

    /// 400: a query parameter has a value that it may not have.
    pub(crate) fn parameter(name: &str, reason: &str) -> Self {
        let description = format!("The \"{name}\" parameter is invalid. {reason}");
        Self::new(StatusCode::BAD_REQUEST, "Invalid parameter", description)
    }

    /// 400: the body is not JSON, or not JSON that this service takes.
    pub(crate) fn unparsable() -> Self {
        Self::body("Request body could not be parsed.")
    }

    /// 400: there is no body.
    pub(crate) fn empty_body() -> Self {
        Self::body("Request body can not be empty")
    }

    /// 400: an array where an object belongs, or the other way round.
    pub(crate) fn document_type() -> Self {
        Self::body("Document type not supported.")
    }

    /// 400: a required member is not there.
    pub(crate) fn missing(field: &str) -> Self {
        Self::body(format!("Missing \"{field}\" field."))
    }

    /// 400: a member is not an integer.
    pub(crate) fn not_integer(field: &str) -> Self {
        Self::body(format!("The value of the \"{field}\" field must be a int."))
    }

    /// 401, 400 or 503: it is not known who asks. Clients of OpenStack know the bodies by the layer
    /// that is in front of most of its services.
    pub(crate) fn unknown(reason: Unknown) -> Self {
        let (status, title, header, document) = match reason {
            Unknown::NoToken(challenge) => (
                StatusCode::UNAUTHORIZED,
                "Unauthorized",
                (WWW_AUTHENTICATE, challenge),
                r#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#,
            ),
            Unknown::NobodyKnows => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The identity service cannot be asked at the moment.",
                (RETRY_AFTER, IDENTITY_RETRY_AFTER.to_owned()),
                r#"{"message": "The identity service cannot be asked at the moment. Please try again in a few seconds.", "code": "503 Service Unavailable", "title": "Service Unavailable"}"#,
            ),
            Unknown::NoProject => {
                let description = "The token is scoped to no project. Ask the identity service for \
                                   one that is scoped to a project.";
                return Self::new(StatusCode::BAD_REQUEST, "Project-Id Missing", description);
            }
        };
        let mut failure = Self::from_parts(status, title.into(), None);
        failure.0.header = Some(header);
        failure.0.document = Some(document);
        failure
    }

    /// 403: the caller's roles do not allow this.
    pub(crate) fn denied() -> Self {
        let description = "You are not authorized to complete this action.";
        Self::new(StatusCode::FORBIDDEN, "Not authorized", description)
    }

    /// 404: what was named is not there.
    pub(crate) fn not_found(description: impl Into<Text>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", description)
    }

    /// 404: there is no such route.
    pub(crate) fn no_route() -> Self {
        Self::from_parts(StatusCode::NOT_FOUND, "404 Not Found".into(), None)
    }

    /// 405, with the methods that there are.
    pub(crate) fn method_not_allowed(allow: String) -> Self {
        let title = "405 Method Not Allowed".into();
        let mut failure = Self::from_parts(StatusCode::METHOD_NOT_ALLOWED, title, None);
        failure.0.header = Some((ALLOW, allow));
        failure
    }

    /// 406: the client takes no JSON.
    pub(crate) fn not_acceptable() -> Self {
        let mut failure = Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "406 Not Acceptable",
            "Endpoint only serves `application/json`; specify client-side media type support with \
             the \"Accept\" header.",
        );
        failure.0.more = ", \"link\": {\"text\": \"14.1 Accept, Hypertext Transfer Protocol -- \
                          HTTP/1.1\", \"href\": \"http://www.w3.org/Protocols/rfc2616/\
                          rfc2616-sec14.html\", \"rel\": \"help\"}";
        failure
    }

    /// 409: it collides with what is there.
    pub(crate) fn conflict(description: impl Into<Text>) -> Self {
        Self::new(StatusCode::CONFLICT, "Resource conflict", description)
    }

    /// 503: not now. `stem` says what could not be done.
    pub(crate) fn unavailable(stem: &str) -> Self {
        let description = format!("{stem} Please try again in a few seconds.");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service temporarily unavailable", description)
    }

    /// 500: a defect. The text says nothing about it; the log does, under the request's id.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal server error",
            "The server failed to handle the request. Its log names the cause under the id that \
             the x-openstack-request-id header holds.",
        )
    }

    /// Says that the request may have taken effect, or certainly has not.
    pub(crate) fn stored(mut self, effect: Effect) -> Self {
        self.0.more = match effect {
            Effect::None => ", \"stored\": false",
            Effect::Unknown => ", \"stored\": \"unknown\"",
        };
        self
    }

    /// Says where to look instead.
    pub(crate) fn location(mut self, path: String) -> Self {
        self.0.header = Some((LOCATION, path));
        self
    }

    /// The status and the headers alone.
    pub(crate) fn without_body(mut self) -> Self {
        self.0.document = Some("");
        self
    }

    fn caused_by(mut self, cause: EngineError) -> Self {
        self.0.cause = Some(cause);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Whether this is the service at work, not a failure of it.
    pub(crate) fn is_expected(&self) -> bool {
        self.0.is_expected
    }

    /// What is wrong, in a sentence.
    pub(crate) fn description(&self) -> &str {
        self.0.description.as_ref().unwrap_or(&self.0.title)
    }

    /// Further members of the error's document: JSON text that begins with a comma, or nothing.
    pub(crate) fn more(&self) -> &'static str {
        self.0.more
    }

    /// What went wrong underneath, with every cause of it, for the log.
    pub(crate) fn cause(&self) -> Option<String> {
        let error = self.0.cause.as_ref()?;
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Some(text)
    }

    /// The response.
    pub(crate) fn into_response(self) -> Response<axum::body::Body> {
        let body = match self.0.document {
            Some(document) => Bytes::from_static(document.as_bytes()),
            None => self.body_text().into(),
        };
        let mut headers: Vec<(HeaderName, HeaderValue)> =
            vec![(VARY, HeaderValue::from_static("Accept"))];
        if let Some((name, value)) = self.0.header
            && let Ok(value) = HeaderValue::try_from(value)
        {
            headers.push((name, value));
        }
        let json = HeaderValue::from_static("application/json");
        let mut response = respond(self.0.status, json, headers, body);
        if self.0.is_expected {
            response.extensions_mut().insert(Limited);
        }
        response
    }

    fn body_text(&self) -> String {
        let mut body = String::with_capacity(256);
        body.push_str("{\"title\": ");
        push_string(&mut body, &self.0.title);
        if let Some(description) = &self.0.description {
            body.push_str(", \"description\": ");
            push_string(&mut body, description);
        }
        body.push_str(self.0.more);
        body.push('}');
        body
    }
}

/// An operation of the engine, as its error answers need to know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation<'a> {
    /// Which queue, if it is about one.
    pub(crate) queue: Option<&'a QueueKey>,
    /// What to say when the store fails: a sentence.
    pub(crate) stem: &'static str,
    /// Whether it changes anything: then a failure says whether it may have.
    pub(crate) writes: bool,
}

impl<'a> Operation<'a> {
    /// An operation that changes nothing.
    pub(crate) fn read(queue: &'a QueueKey, stem: &'static str) -> Self {
        Self { queue: Some(queue), stem, writes: false }
    }

    /// An operation that changes something.
    pub(crate) fn write(queue: &'a QueueKey, stem: &'static str) -> Self {
        Self { queue: Some(queue), stem, writes: true }
    }

    /// An operation about no queue in particular that changes nothing.
    pub(crate) fn service(stem: &'static str) -> Self {
        Self { queue: None, stem, writes: false }
    }

    /// The answer to a failure of this operation.
    pub(crate) fn failed(&self, error: EngineError) -> Failure {
        match error {
            EngineError::Attribute { message } | EngineError::Rejected { message } => {
                Failure::api(message)
            }
            EngineError::PatchConflict { message } => Failure::conflict(message),
            EngineError::Quota { message } => {
                Failure::new(StatusCode::FORBIDDEN, "Quota exceeded", message)
            }
            EngineError::Store(error) => self.store_failed(error),
            other => self.by_class(other),
        }
    }

    fn store_failed(&self, error: Error) -> Failure {
        match (&error, self.queue) {
            (Error::QueueNotFound { .. }, Some(key)) => queue_missing(key),
            (Error::FlavorNotFound { name }, _) => {
                Failure::not_found(format!("Flavor {name} does not exist"))
            }
            // There is no pool for it at the moment.
            (Error::QueueNotMapped { .. }, _) => self.unavailable(error.into()),
            (Error::MessageNotFound { id, .. }, Some(key)) => message_missing(id, key),
            (Error::ClaimNotFound { id, .. }, Some(key)) => claim_missing(id, key),
            (Error::SubscriptionNotFound { id }, _) => subscription_missing(id),
            (Error::SubscriptionExists, _) => Failure::conflict(
                "Such subscription already exists. Subscriptions are unique by project + queue + \
                 subscriber URI.",
            ),
            (Error::MessageClaimed { .. } | Error::MessageNotClaimedBy { .. }, _) => Failure::new(
                StatusCode::FORBIDDEN,
                UNDELETABLE,
                "This message is claimed; it cannot be deleted without a valid claim ID.",
            ),
            (Error::MessageNotClaimed { .. }, _) => Failure::new(
                StatusCode::BAD_REQUEST,
                UNDELETABLE,
                "A claim was specified, but the message is not currently claimed.",
            ),
            (Error::Unreadable { id, reason }, _) => {
                let text = format!("Message {id} cannot be decrypted: {reason}. It is kept.");
                self.unreadable(text, error.into())
            }
            (Error::NoEncryptionKey, _) => {
                let text = "Messages of this queue are stored encrypted, and this server has no \
                            key for it.";
                self.unreadable(text.to_owned(), error.into())
            }
            // The engine resolved the name anew and met another change: the next try may succeed.
            (
                Error::QueueGone { .. } | Error::QueueMoved { .. } | Error::QueueChanged { .. },
                _,
            ) => self.unavailable(error.into()),
            _ => self.by_class(error.into()),
        }
    }

    fn by_class(&self, error: EngineError) -> Failure {
        match error.class() {
            ErrorClass::NotFound => Failure::not_found(error.to_string()),
            ErrorClass::Conflict => Failure::conflict(error.to_string()),
            ErrorClass::Invalid | ErrorClass::Unsupported => Failure::api(error.to_string()),
            ErrorClass::Forbidden => {
                Failure::new(StatusCode::FORBIDDEN, "Not authorized", error.to_string())
            }
            ErrorClass::Unavailable => self.unavailable(error),
            ErrorClass::Internal => {
                self.effect(Failure::internal(), error.effect()).caused_by(error)
            }
        }
    }

    /// 503: the operator has to give the server its key.
    fn unreadable(&self, text: String, cause: EngineError) -> Failure {
        let (status, title) = (StatusCode::SERVICE_UNAVAILABLE, "Message encryption");
        self.effect(Failure::new(status, title, text), Effect::None).caused_by(cause)
    }

    fn unavailable(&self, error: EngineError) -> Failure {
        self.effect(Failure::unavailable(self.stem), error.effect()).caused_by(error)
    }

    fn effect(&self, failure: Failure, effect: Effect) -> Failure {
        if self.writes { failure.stored(effect) } else { failure }
    }
}

/// Title of the refusals to delete a message.
pub(crate) const UNDELETABLE: &str = "Unable to delete";

/// 404: no such queue, or topic.
pub(crate) fn queue_missing(key: &QueueKey) -> Failure {
    let (name, project) = (&key.name, &key.project);
    let kind = by_kind(key.kind, "Queue", "Topic");
    Failure::not_found(format!("{kind} {name} does not exist for project {project}"))
}

/// 404: no such message.
pub(crate) fn message_missing(id: impl std::fmt::Display, key: &QueueKey) -> Failure {
    missing_in("Message", id, key)
}

/// 404: no such claim.
pub(crate) fn claim_missing(id: impl std::fmt::Display, key: &QueueKey) -> Failure {
    missing_in("Claim", id, key)
}

fn missing_in(what: &str, id: impl std::fmt::Display, key: &QueueKey) -> Failure {
    let (name, project) = (&key.name, &key.project);
    let kind = by_kind(key.kind, "queue", "topic");
    let text = format!("{what} {id} does not exist in {kind} {name} for project {project}");
    Failure::not_found(text)
}

/// 404: no such subscription.
pub(crate) fn subscription_missing(id: impl std::fmt::Display) -> Failure {
    Failure::not_found(format!("Subscription {id} does not exist"))
}
