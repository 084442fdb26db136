//! A message's body: JSON text, checked once at the border and never parsed again.

use std::fmt;
use std::sync::Arc;

use crate::ids::InvalidId;

/// JSON text, kept byte for byte as it was posted (G4). Cloning shares it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Body(Arc<str>);

impl Body {
    /// Checks that `text` is one JSON value and takes it.
    ///
    /// Cost: one pass over the text.
    ///
    /// # Errors
    /// [`InvalidId`] if it is not JSON.
    pub fn from_json(text: impl Into<Arc<str>>) -> Result<Self, InvalidId> {
        let text = text.into();
        serde_json::from_str::<serde::de::IgnoredAny>(&text)
            .map_err(|error| InvalidId::new("body", format!("is not JSON: {error}")))?;
        Ok(Self(text))
    }

    /// Takes text that is known to be JSON: a transport checked it, or a `Body` was stored from it.
    #[must_use]
    pub fn from_checked(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, shared: no copy is made.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the text is empty; no valid body is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Body {
    /// The length alone: a body must not find its way into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_byte_for_byte_and_stays_out_of_logs() {
        let body = Body::from_json(r#"{"b" : 1,  "a":[1e2]}"#).unwrap();
        assert_eq!(body.as_str(), r#"{"b" : 1,  "a":[1e2]}"#);
        assert_eq!(format!("{body:?}"), "Body(21 bytes)");
        assert!(Body::from_json("{]").is_err());
    }
}
