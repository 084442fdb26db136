//! Native errors of Redis, turned into ours. The only place that reads them.
//!
//! A server's refusal comes before a script's first write or not at all: Redis checks memory, disk,
//! role and replicas when a script is about to write for the first time, and a script that has
//! written is let through to its end. Our scripts look at everything before they write. So each
//! refusal listed here means that nothing was stored; any other failure of a request that was sent
//! leaves it in doubt.

use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerError, Value};
use zaqar_core::{Effect, Error, OpenError, Retry};

/// What the failure of a request means.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// It was never sent: there is no connection.
    NotSent(Arc<RedisError>),
    /// The server did not run it, and another node may.
    Redirected(Redirect),
    /// The server did not run it, and may in a moment.
    NotNow(String),
    /// The server does not have the script.
    NoScript,
    /// The server did not run it, and would not if it were asked again.
    Refused(String),
    /// It may have been run: the connection was cut, or no answer came in time.
    InDoubt(Arc<RedisError>),
    /// No answer came in time.
    Silent,
    /// The script failed within: a defect of ours, or the data was changed by something else.
    Broken(String),
}

/// Where a cluster sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// The slot has moved there for good.
    Moved {
        /// The slot.
        slot: u16,
        /// The node's address; an empty host is that of the node that answered.
        address: (String, u16),
    },
    /// This request alone is to go there.
    Ask((String, u16)),
    /// The node is no master any more: who is, must be found out.
    Demoted,
}

/// Codes of refusals after which the same request may succeed in a moment.
const NOT_NOW: &[&str] = &["LOADING", "TRYAGAIN", "CLUSTERDOWN"];
/// Codes of a node that is no master (any more).
const DEMOTED: &[&str] = &["READONLY", "MASTERDOWN"];
/// Codes of refusals that last.
const REFUSED: &[&str] =
    &["OOM", "MISCONF", "NOREPLICAS", "BUSY", "NOAUTH", "NOPERM", "WRONGPASS", "CROSSSLOT"];

impl Failure {
    /// Reads a connection's error.
    pub(crate) fn of(error: RedisError) -> Self {
        match error.code() {
            Some(code) => Self::of_code(code, error.detail().unwrap_or_default()),
            None => Self::InDoubt(Arc::new(error)),
        }
    }

    /// Reads a server's error.
    pub(crate) fn of_server(error: &ServerError) -> Self {
        Self::of_code(error.code(), error.details().unwrap_or_default())
    }

    /// A redirection without a host is to another port of the node that answered.
    pub(crate) fn at(mut self, host: &str) -> Self {
        if let Self::Redirected(Redirect::Ask(to) | Redirect::Moved { address: to, .. }) = &mut self
            && to.0.is_empty()
        {
            host.clone_into(&mut to.0);
        }
        self
    }

    fn of_code(code: &str, detail: &str) -> Self {
        let text = || format!("{code} {detail}");
        match code {
            "NOSCRIPT" => Self::NoScript,
            "MOVED" | "ASK" => {
                redirect(code, detail).map_or_else(|| Self::Refused(text()), Self::Redirected)
            }
            code if DEMOTED.contains(&code) => Self::Redirected(Redirect::Demoted),
            code if NOT_NOW.contains(&code) => Self::NotNow(text()),
            code if REFUSED.contains(&code) => Self::Refused(text()),
            // Before version 7 a refusal within a script is wrapped in the script's error.
            _ => match wrapped(detail) {
                Some(code) if DEMOTED.contains(&code) => Self::Redirected(Redirect::Demoted),
                Some(_) => Self::Refused(text()),
                None => Self::Broken(text()),
            },
        }
    }

    /// The setting for which a server is not used (G15), if that is why nothing was sent.
    pub(crate) fn unsafe_setting(&self) -> Option<String> {
        match self {
            Self::NotSent(error) if error.kind() == ErrorKind::Client => {
                error.detail().map(str::to_owned)
            }
            _ => None,
        }
    }

    /// What the caller is told.
    pub(crate) fn into_error(self, operation: &'static str, writes: bool) -> Error {
        let doubt = if writes { Effect::Unknown } else { Effect::None };
        let backend = |effect, retry, source: zaqar_core::error::Source| {
            Error::backend(operation, effect, retry, source)
        };
        match self {
            Self::NotSent(error) => backend(Effect::None, Retry::Later, Box::new(error)),
            Self::InDoubt(error) => backend(doubt, Retry::Later, Box::new(error)),
            Self::Silent => backend(doubt, Retry::Later, "no answer came in time".into()),
            Self::Redirected(to) => {
                backend(Effect::None, Retry::Later, format!("the node has moved: {to:?}").into())
            }
            Self::NotNow(text) | Self::Refused(text) => {
                backend(Effect::None, Retry::Later, text.into())
            }
            Self::NoScript => {
                backend(Effect::None, Retry::Later, "the server forgets our scripts".into())
            }
            Self::Broken(text) => backend(doubt, Retry::Never, text.into()),
        }
    }
}

/// The refusal that an old server reports as the error of a script.
fn wrapped(detail: &str) -> Option<&'static str> {
    let codes = REFUSED.iter().chain(DEMOTED).chain(NOT_NOW);
    codes.copied().find(|code| detail.contains(&format!("-{code} ")))
}

/// Reads `3999 127.0.0.1:6381`.
fn redirect(code: &str, detail: &str) -> Option<Redirect> {
    let (slot, address) = detail.split_once(' ')?;
    let (host, port) = address.trim().rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let address = (host, port.parse().ok()?);
    match code {
        "ASK" => Some(Redirect::Ask(address)),
        _ => Some(Redirect::Moved { slot: slot.parse().ok()?, address }),
    }
}

/// The answer, unless it is an error.
pub(crate) fn answered(result: redis::RedisResult<Value>) -> Result<Value, Failure> {
    match result {
        Ok(Value::ServerError(error)) => Err(Failure::of_server(&error)),
        Ok(value) => Ok(value),
        Err(error) => Err(Failure::of(error)),
    }
}

/// What a caller is told when the store was closed under it: nothing was done.
pub(crate) fn closed(operation: &'static str) -> Error {
    Error::backend(operation, Effect::None, Retry::AfterReopen, "the store is closed")
}

/// What an opener is told.
pub(crate) fn open_error(error: impl Into<zaqar_core::error::Source>) -> OpenError {
    OpenError::Backend { source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_before_the_first_write_are_without_effect() {
        for (code, detail) in [
            ("OOM", "command not allowed when used memory > 'maxmemory'. script: x"),
            ("ERR", "Error running script (call to f_1): @user_script:3: -OOM command not allowed"),
            ("MISCONF", "Redis is configured to save"),
            ("NOREPLICAS", "Not enough good replicas to write."),
            ("READONLY", "You can't write against a read only replica."),
            ("LOADING", "Redis is loading the dataset in memory"),
        ] {
            let error = Failure::of_code(code, detail).into_error("message_post", true);
            assert_eq!((error.effect(), error.retry()), (Effect::None, Retry::Later), "{code}");
        }
    }

    #[test]
    fn a_script_that_fails_within_is_in_doubt() {
        let error = Failure::of_code("ERR", "user_script:3: Script attempted to access nil");
        assert_eq!(error.into_error("message_post", true).effect(), Effect::Unknown);
    }

    #[test]
    fn redirections_are_read_with_and_without_a_host() {
        let moved = Redirect::Moved { slot: 3_999, address: ("127.0.0.1".to_owned(), 6_381) };
        assert_eq!(redirect("MOVED", "3999 127.0.0.1:6381"), Some(moved));
        let ask = Redirect::Ask((String::new(), 6_381));
        assert_eq!(redirect("ASK", "3999 :6381"), Some(ask));
        let six = Redirect::Ask(("::1".to_owned(), 6_381));
        assert_eq!(redirect("ASK", "1 [::1]:6381"), Some(six));
        assert_eq!(redirect("MOVED", "nonsense"), None);
    }
}
