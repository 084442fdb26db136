//! Error answers: what a client is told.

use std::borrow::Cow;

use zaqar_core::QueueKey;
use zaqar_engine::EngineError;

use super::envelope::Reply;
use crate::rest::errors::{Failure, Operation};
use crate::rest::json::write::push_string;

type Text = Cow<'static, str>;

/// An error answer on its way out.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    /// What is wrong, for a request that was taken up.
    exception: Option<Text>,
    /// What could not be done.
    error: Option<Text>,
    /// Whether it was refused before it was taken up: then the error stands alone.
    early: bool,
    /// Further members, JSON text that begins with a comma.
    more: &'static str,
}

impl Refusal {
    /// A refusal of what is not even looked at.
    pub(super) fn early(status: u16, error: impl Into<Text>) -> Self {
        Self { status, exception: None, error: Some(error.into()), early: true, more: "" }
    }

    /// 400: fields are missing, or of a wrong type.
    pub(super) fn schema() -> Self {
        Self::early(400, "Schema validation failed.")
    }

    /// 403: whoever asks has not shown that it may.
    pub(super) fn unauthenticated() -> Self {
        Self::early(403, "Not authentified.")
    }

    /// 400: the request says something that it may not say.
    pub(super) fn invalid(exception: impl Into<Text>) -> Self {
        let exception = Some(exception.into());
        Self { status: 400, exception, error: None, early: false, more: "" }
    }

    /// A refusal that is told the same in detail and in short.
    pub(super) fn plain(status: u16, text: impl Into<Text>) -> Self {
        let text = text.into();
        let exception = Some(text.clone());
        Self { status, exception, error: Some(text), early: false, more: "" }
    }

    /// Says in short what could not be done, unless the request itself is wrong.
    pub(super) fn summary(mut self, error: impl FnOnce() -> String) -> Self {
        if !matches!(self.status, 400 | 500) {
            self.error = Some(error().into());
        }
        self
    }

    /// Says in short what it says in detail.
    pub(super) fn repeated(mut self) -> Self {
        self.error = self.exception.clone();
        self
    }

    /// The status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// The reply.
    pub(super) fn into_reply(self) -> Reply {
        let mut body = String::with_capacity(128);
        let member = |body: &mut String, text: &Option<Text>| match text {
            Some(text) => push_string(body, text),
            None => body.push_str("null"),
        };
        if self.early {
            body.push_str("{\"error\": ");
        } else {
            body.push_str("{\"exception\": ");
            member(&mut body, &self.exception);
            body.push_str(", \"error\": ");
        }
        member(&mut body, &self.error);
        body.push_str(self.more);
        body.push('}');
        Reply::json(self.status, body)
    }
}

/// The refusal that HTTP would make. What only the log may know stays out of it.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let status = failure.status().as_u16();
        let more = failure.more();
        if status == 500 {
            let error = Some("Unexpected error.".into());
            return Self { status, exception: None, error, early: false, more };
        }
        let text: Text = failure.description().to_owned().into();
        let error = (status != 400).then(|| text.clone());
        Self { status, exception: Some(text), error, early: false, more }
    }
}

/// An operation of the engine, as its error answers need to know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doing<'a> {
    pub(super) action: &'static str,
    pub(super) operation: Operation<'a>,
}

const STEM: &str = "The operation could not be done.";

impl<'a> Doing<'a> {
    /// Something that changes nothing.
    pub(super) fn read(action: &'static str, key: &'a QueueKey) -> Self {
        Self { action, operation: Operation::read(key, STEM) }
    }

    /// Something that changes the queue.
    pub(super) fn write(action: &'static str, key: &'a QueueKey) -> Self {
        Self { action, operation: Operation::write(key, STEM) }
    }

    /// Something about no queue in particular that changes nothing.
    pub(super) fn service(action: &'static str) -> Self {
        Self { action, operation: Operation::service(STEM) }
    }

    /// The answer to a failure; the log is told what the client is not.
    pub(super) fn failed(&self, error: EngineError) -> Refusal {
        let failure = self.operation.failed(error);
        if failure.status().is_server_error() {
            tracing::error!(
                action = self.action,
                status = failure.status().as_u16(),
                cause = failure.cause(),
                "WebSocket request failed"
            );
        }
        failure.into()
    }
}
