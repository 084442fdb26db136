//! Options that are secret: no output ever holds their value.

use std::fmt;

use config::{Value, ValueKind};

use super::value::OptionValue;

/// What is shown instead of a secret.
const HIDDEN: &str = "***";

/// A password.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Whether one was given.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    /// The password itself: for the one who must present it alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "Secret(***)" } else { "Secret()" })
    }
}

impl OptionValue for Secret {
    fn kind() -> String {
        "secret text".to_owned()
    }

    fn read(value: &Value) -> Result<Self, String> {
        match &value.kind {
            ValueKind::String(text) => Ok(Self(text.clone())),
            _ => Err("must be a text in quotes".to_owned()),
        }
    }

    fn shown(&self) -> String {
        if self.is_set() { format!("\"{HIDDEN}\"") } else { "\"\"".to_owned() }
    }
}

/// Keys, the first of which signs while each is recognised: a TOML list, or one text, which is one
/// key whatever it holds.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretList(Vec<String>);

impl SecretList {
    /// Whether there is one.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    /// The keys themselves: for the signer alone.
    #[must_use]
    pub fn expose(&self) -> &[String] {
        &self.0
    }
}

impl<const N: usize> From<[&str; N]> for SecretList {
    fn from(keys: [&str; N]) -> Self {
        Self(keys.into_iter().map(str::to_owned).collect())
    }
}

impl fmt::Debug for SecretList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretList({} keys)", self.0.len())
    }
}

impl OptionValue for SecretList {
    fn kind() -> String {
        "secret text, or list of such".to_owned()
    }

    fn read(value: &Value) -> Result<Self, String> {
        let text = |item: &Value| match &item.kind {
            ValueKind::String(text) => Ok(text.clone()),
            _ => Err("must be a text in quotes, or a list of such".to_owned()),
        };
        match &value.kind {
            ValueKind::String(only) if only.is_empty() => Ok(Self::default()),
            ValueKind::Array(items) => {
                let keys: Vec<_> = items.iter().map(text).collect::<Result<_, _>>()?;
                if keys.iter().any(String::is_empty) {
                    return Err("must not hold an empty text".to_owned());
                }
                Ok(Self(keys))
            }
            _ => text(value).map(|only| Self(vec![only])),
        }
    }

    fn shown(&self) -> String {
        let hidden: Vec<_> = self.0.iter().map(|_| format!("\"{HIDDEN}\"")).collect();
        format!("[{}]", hidden.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_never_shown() {
        let read = Secret::read(&Value::new(None, "hidden, too")).unwrap();
        assert_eq!(read.expose(), "hidden, too");
        assert_eq!((read.shown().as_str(), format!("{read:?}")), ("\"***\"", "Secret(***)".into()));
        assert_eq!(Secret::default().shown(), "\"\"");
        let error = Secret::read(&Value::new(None, 4711)).unwrap_err();
        assert!(!error.contains("4711"), "{error}");
    }

    #[test]
    fn one_text_is_one_key_and_a_list_holds_several() {
        let one = SecretList::read(&Value::new(None, "a,b")).unwrap();
        assert_eq!(one.expose(), ["a,b"]);
        let two = SecretList::read(&Value::new(None, vec!["new", "old"])).unwrap();
        assert_eq!(two.expose(), ["new", "old"]);
        assert_eq!(
            (two.shown().as_str(), format!("{two:?}").as_str()),
            ("[\"***\", \"***\"]", "SecretList(2 keys)")
        );
        assert!(!SecretList::read(&Value::new(None, "")).unwrap().is_set());
        assert!(SecretList::read(&Value::new(None, vec!["new", ""])).is_err());
    }
}
