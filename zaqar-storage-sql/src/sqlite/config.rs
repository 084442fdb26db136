//! The storage URI of SQLite: where the file is.

use std::path::PathBuf;

use zaqar_core::OpenError;

/// A parsed `sqlite:` URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqliteConfig {
    /// The database file.
    pub(crate) path: PathBuf,
}

impl SqliteConfig {
    /// Parses `sqlite:relative.db`, `sqlite:/absolute.db` or `sqlite:///absolute.db`.
    pub(crate) fn parse(uri: &str) -> Result<Self, OpenError> {
        let invalid = |reason: &str| OpenError::InvalidUri { reason: reason.to_owned() };
        let rest = uri.strip_prefix("sqlite:").ok_or_else(|| invalid("it is not a sqlite URI"))?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path == ":memory:" {
            return Err(OpenError::Unsafe {
                setting: "storage URI".to_owned(),
                value: "memory".to_owned(),
                safe: "a file".to_owned(),
            });
        }
        if path.contains('?') {
            return Err(invalid("it takes no parameters"));
        }
        if path.is_empty() || path.ends_with('/') {
            return Err(invalid("it names no file"));
        }
        Ok(Self { path: PathBuf::from(path) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(uri: &str) -> String {
        SqliteConfig::parse(uri).unwrap().path.display().to_string()
    }

    #[test]
    fn relative_and_absolute_files_are_told_apart() {
        assert_eq!(path("sqlite:zaqar.db"), "zaqar.db");
        assert_eq!(path("sqlite://zaqar.db"), "zaqar.db");
        assert_eq!(path("sqlite:///var/lib/zaqar.db"), "/var/lib/zaqar.db");
        assert_eq!(path("sqlite:/var/lib/zaqar.db"), "/var/lib/zaqar.db");
    }

    #[test]
    fn a_store_that_keeps_nothing_is_refused() {
        for uri in ["sqlite::memory:", "sqlite://:memory:"] {
            assert!(matches!(SqliteConfig::parse(uri), Err(OpenError::Unsafe { .. })), "{uri}");
        }
    }

    #[test]
    fn uris_without_a_file_or_with_parameters_are_refused() {
        for uri in ["sqlite:", "sqlite:///tmp/", "sqlite:a.db?mode=ro", "postgres://x"] {
            assert!(matches!(SqliteConfig::parse(uri), Err(OpenError::InvalidUri { .. })), "{uri}");
        }
    }
}
