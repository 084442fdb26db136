//! The types that an option may have: how each is read from a layer and written as TOML.

use std::fmt;

use config::{Value, ValueKind};

/// A type that an option may have.
pub trait OptionValue: Sized + Clone {
    /// What may be given, for the documentation.
    fn kind() -> String;

    /// Reads a layer's value.
    ///
    /// # Errors
    /// The reason why it does not fit; it never repeats a text that may be secret.
    fn read(value: &Value) -> Result<Self, String>;

    /// The number that a range bounds, if this is one.
    fn number(&self) -> Option<u64> {
        None
    }

    /// The value as a TOML literal, fit to be shown: without passwords.
    fn shown(&self) -> String;
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// What was given instead of the wanted kind; long texts are cut.
fn found(value: &Value) -> String {
    match &value.kind {
        ValueKind::Nil => "nothing".to_owned(),
        ValueKind::Table(_) => "a section".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::String(text) => {
            let mut cut: String = text.chars().take(40).collect();
            if cut.len() < text.len() {
                cut.push('…');
            }
            quoted(&cut)
        }
        ValueKind::Boolean(flag) => flag.to_string(),
        ValueKind::I64(number) => number.to_string(),
        ValueKind::U64(number) => number.to_string(),
        ValueKind::I128(number) => number.to_string(),
        ValueKind::U128(number) => number.to_string(),
        ValueKind::Float(number) => number.to_string(),
    }
}

impl OptionValue for bool {
    fn kind() -> String {
        "true or false".to_owned()
    }

    fn read(value: &Value) -> Result<Self, String> {
        let text = match &value.kind {
            ValueKind::Boolean(flag) => return Ok(*flag),
            ValueKind::String(text) => text.trim().to_ascii_lowercase(),
            _ => String::new(),
        };
        match text.as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(format!("must be true or false, not {}", found(value))),
        }
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

macro_rules! integer {
    ($($ty:ty),*) => {$(
        impl OptionValue for $ty {
            fn kind() -> String {
                "whole number".to_owned()
            }

            fn read(value: &Value) -> Result<Self, String> {
                let number = match &value.kind {
                    ValueKind::I64(number) => <$ty>::try_from(*number).ok(),
                    ValueKind::U64(number) => <$ty>::try_from(*number).ok(),
                    ValueKind::String(text) => text.trim().parse().ok(),
                    _ => None,
                };
                let max = <$ty>::MAX;
                number.ok_or_else(|| {
                    format!("must be a whole number from 0 to {max}, not {}", found(value))
                })
            }

            fn number(&self) -> Option<u64> {
                Some(u64::from(*self))
            }

            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
integer!(u16, u32, u64);

impl OptionValue for String {
    fn kind() -> String {
        "text".to_owned()
    }

    fn read(value: &Value) -> Result<Self, String> {
        match &value.kind {
            ValueKind::String(text) => Ok(text.clone()),
            _ => Err(format!("must be a text in quotes, not {}", found(value))),
        }
    }

    fn shown(&self) -> String {
        quoted(self)
    }
}

/// A list of texts: a TOML list, or one text with commas between the items.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextList(pub Vec<String>);

impl<const N: usize> From<[&str; N]> for TextList {
    fn from(items: [&str; N]) -> Self {
        Self(items.into_iter().map(str::to_owned).collect())
    }
}

impl OptionValue for TextList {
    fn kind() -> String {
        "list of texts".to_owned()
    }

    fn read(value: &Value) -> Result<Self, String> {
        let wrong = || format!("must be a list of texts, not {}", found(value));
        match &value.kind {
            ValueKind::String(text) => Ok(Self(
                text.split(',')
                    .map(str::trim)
                    .filter(|t| !t.is_empty())
                    .map(str::to_owned)
                    .collect(),
            )),
            ValueKind::Array(items) => items
                .iter()
                .map(|item| match &item.kind {
                    ValueKind::String(text) => Ok(text.clone()),
                    _ => Err(format!("must be a list of texts; one item is {}", found(item))),
                })
                .collect::<Result<_, _>>()
                .map(Self),
            _ => Err(wrong()),
        }
    }

    fn shown(&self) -> String {
        let items: Vec<_> = self.0.iter().map(|text| quoted(text)).collect();
        format!("[{}]", items.join(", "))
    }
}

/// A store's address. It may hold a password, so it never shows itself whole.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct StoreUri(String);

impl StoreUri {
    /// Whether one was given.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    /// The address with its password: for the driver alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The address with passwords and keys replaced by `***`.
    #[must_use]
    pub fn redacted(&self) -> String {
        redact_uri(&self.0)
    }
}

impl From<&str> for StoreUri {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUri({})", self.redacted())
    }
}

impl OptionValue for StoreUri {
    fn kind() -> String {
        "URI".to_owned()
    }

    fn read(value: &Value) -> Result<Self, String> {
        match &value.kind {
            ValueKind::String(text) => Ok(Self(text.trim().to_owned())),
            _ => Err("must be a URI in quotes".to_owned()),
        }
    }

    fn shown(&self) -> String {
        quoted(&self.redacted())
    }
}

/// Hides what follows the user's name before the last `@` of the authority, and the values of
/// query parameters that are named like secrets.
fn redact_uri(uri: &str) -> String {
    let (base, query) =
        uri.split_once('?').map_or((uri, None), |(base, query)| (base, Some(query)));
    let mut shown = match base.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", redact_authority(rest)),
        None => base.to_owned(),
    };
    if let Some(query) = query {
        let parts: Vec<_> = query.split('&').map(redact_parameter).collect();
        shown.push('?');
        shown.push_str(&parts.join("&"));
    }
    shown
}

fn redact_authority(rest: &str) -> String {
    // A password may hold an unescaped slash, so everything up to the last `@` is suspect.
    match rest.rsplit_once('@') {
        Some((credentials, place)) => match credentials.split_once(':') {
            Some((user, _password)) => format!("{user}:***@{place}"),
            None => format!("{credentials}@{place}"),
        },
        None => rest.to_owned(),
    }
}

fn redact_parameter(parameter: &str) -> String {
    let Some((name, _value)) = parameter.split_once('=') else { return parameter.to_owned() };
    let lower = name.to_ascii_lowercase();
    let secret = ["pass", "pwd", "secret", "token", "key"].iter().any(|word| lower.contains(word));
    if secret { format!("{name}=***") } else { parameter.to_owned() }
}

/// Defines a type whose values are a few fixed texts.
macro_rules! choices {
    (
        $(#[doc = $doc:literal])*
        $Name:ident { $( $(#[doc = $vdoc:literal])* $Variant:ident = $text:literal, )+ }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $Name { $( $(#[doc = $vdoc])* $Variant, )+ }

        impl $Name {
            /// The text that stands for it in a configuration.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$Variant => $text, )+ }
            }
        }

        impl $crate::config::value::OptionValue for $Name {
            fn kind() -> String {
                format!("one of {}", [$( concat!("\"", $text, "\"") ),+].join(", "))
            }

            fn read(value: &::config::Value) -> Result<Self, String> {
                match &value.kind {
                    $( ::config::ValueKind::String(text) if text.trim() == $text => {
                        Ok(Self::$Variant)
                    } )+
                    _ => Err(format!("must be {}", Self::kind())),
                }
            }

            fn shown(&self) -> String {
                format!("\"{}\"", self.as_str())
            }
        }
    };
}
pub(crate) use choices;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_shown_without_its_passwords() {
        let shown = |uri: &str| StoreUri::from(uri).redacted();
        assert_eq!(shown("postgres://u:p@ss/w@h:1/db"), "postgres://u:***@h:1/db");
        assert_eq!(shown("redis://h/0?password=x&timeout=3"), "redis://h/0?password=***&timeout=3");
        assert_eq!(shown("redis://:x@h"), "redis://:***@h");
        assert_eq!(shown("sqlite:///var/lib/zaqar.db"), "sqlite:///var/lib/zaqar.db");
        assert!(!format!("{:?}", StoreUri::from("a://b:hidden@c")).contains("hidden"));
    }

    #[test]
    fn a_float_is_not_rounded_to_a_whole_number() {
        assert!(u32::read(&Value::new(None, 3.7)).is_err());
        assert!(u32::read(&Value::new(None, true)).is_err());
        assert!(u16::read(&Value::new(None, 70_000_i64)).is_err());
        assert_eq!(u16::read(&Value::new(None, " 8888 ")), Ok(8888));
    }
}
