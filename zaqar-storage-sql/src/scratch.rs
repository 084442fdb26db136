//! Stores beside a store, made to be removed: where the conformance suite asks a configured backend
//! without touching what is in it.

use zaqar_core::OpenError;

/// Where a store called `name` lies beside the one at `uri`: a file beside the file, a schema or a
/// database of the same server, under the same settings. Nothing is made yet.
///
/// # Errors
/// `InvalidUri` if `uri` is none, or `name` holds other than lower-case letters and digits.
pub fn uri(uri: &str, name: &str) -> Result<String, OpenError> {
    checked(name)?;
    match uri.split(':').next().unwrap_or_default() {
        #[cfg(feature = "sqlite")]
        "sqlite" => crate::sqlite::scratch::uri(uri, name),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => crate::postgres::scratch::uri(uri, name),
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => crate::mysql::scratch::uri(uri, name),
        other => Err(crate::unknown_scheme(other)),
    }
}

/// Removes the store called `name` beside the one at `uri`, with all that it holds; silent if there
/// is none. Its handles must be closed.
///
/// # Errors
/// As [`uri`]; `Backend` if the store cannot be reached or removed: some of it may be left.
pub async fn remove(uri: &str, name: &str) -> Result<(), OpenError> {
    checked(name)?;
    match uri.split(':').next().unwrap_or_default() {
        #[cfg(feature = "sqlite")]
        "sqlite" => crate::sqlite::scratch::remove(uri, name),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => crate::postgres::scratch::remove(uri, name).await,
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => crate::mysql::scratch::remove(uri, name).await,
        other => Err(crate::unknown_scheme(other)),
    }
}

/// Names stand in statements and paths as they are.
fn checked(name: &str) -> Result<(), OpenError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if starts && name.len() <= 32 && name.bytes().all(plain) {
        return Ok(());
    }
    let reason = "a scratch store is named by 1 to 32 lower-case letters and digits".to_owned();
    Err(OpenError::InvalidUri { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_has_its_own_place_for_it() {
        let at = |store| uri(store, "x1").unwrap();
        #[cfg(feature = "sqlite")]
        assert_eq!(at("sqlite:///var/lib/zaqar.db"), "sqlite:/var/lib/zaqar.db.x1");
        #[cfg(feature = "postgres")]
        assert_eq!(
            at("postgres://u:p@h:1/db?schema=mine&sslmode=require"),
            "postgres://u:p@h:1/db?sslmode=require&schema=x1"
        );
        #[cfg(feature = "mysql")]
        for (store, wanted) in [
            ("mariadb://u:p@h:1/mine?ssl-mode=REQUIRED", "mariadb://u:p@h:1/x1?ssl-mode=REQUIRED"),
            ("mysql://h", "mysql://h/x1?"),
        ] {
            assert_eq!(at(store), wanted);
        }
    }

    #[test]
    fn a_name_that_could_be_more_than_a_name_is_refused() {
        for name in ["", "1x", "a-b", "a/b", "A", "a;drop", "a\0", "über"] {
            assert!(
                matches!(uri("sqlite:a.db", name), Err(OpenError::InvalidUri { .. })),
                "{name}"
            );
        }
    }
}
