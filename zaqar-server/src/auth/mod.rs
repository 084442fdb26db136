//! How callers are known: by a token of Keystone, by a signature, or by nothing but their word.
//!
//! On REST `headers` takes from a request what it shows of its caller, and with Keystone on what it
//! says of it, before anything else looks at it; on WebSocket a session holds what a connection has
//! shown.

pub(crate) mod headers;
mod open;
pub(crate) mod trusts;

use std::sync::Arc;

use zaqar_auth::keystone::{AuthError, Keystone, Token, Validated};

pub(crate) use open::{contradictions, open};

/// How callers are known that show no signature.
#[derive(Debug, Clone, Default)]
pub enum Authentication {
    /// By their word: whoever says that it is somebody is believed.
    #[default]
    None,
    /// By a token that Keystone knows.
    Keystone(Keystone),
}

/// What a request shows of its caller.
#[derive(Debug)]
pub(crate) enum Shown {
    /// A signature, whatever it is worth.
    Signature,
    /// Nothing, and nothing is asked for: what it says is believed.
    Word,
    /// A token, or nothing that could be one, where a token is asked for.
    Token(Keystone, Option<Token>),
}

/// Somebody who has shown a token that held.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    pub(crate) keystone: Keystone,
    pub(crate) token: Token,
    pub(crate) validated: Arc<Validated>,
}

/// What is known of a caller by now.
#[derive(Debug)]
pub(crate) enum Standing {
    /// That it shows a signature, which has to be checked.
    Signed,
    /// What the request says.
    Believed,
    /// What its token says.
    Known(Bearer),
}

/// Why somebody is not let in.
#[derive(Debug)]
pub(crate) enum Unknown {
    /// It shows no token that holds; with what it is told to do.
    NoToken(String),
    /// Its token is for no project.
    NoProject,
    /// Nobody can tell now.
    NobodyKnows,
}

impl Shown {
    /// Finds out who it is.
    pub(crate) async fn standing(self) -> Result<Standing, Unknown> {
        let (keystone, token) = match self {
            Self::Signature => return Ok(Standing::Signed),
            Self::Word => return Ok(Standing::Believed),
            Self::Token(keystone, token) => (keystone, token),
        };
        let refused = || Unknown::NoToken(keystone.challenge().to_owned());
        let token = token.ok_or_else(refused)?;
        match keystone.authenticate(&token).await {
            Ok(validated) => Ok(Standing::Known(Bearer { keystone, token, validated })),
            Err(AuthError::Refused) => Err(refused()),
            Err(AuthError::Unscoped) => Err(Unknown::NoProject),
            Err(AuthError::Unavailable) => Err(Unknown::NobodyKnows),
        }
    }
}
