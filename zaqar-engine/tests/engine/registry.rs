//! Which driver opens a URI.

use std::sync::Arc;

use zaqar_core::{ManualClock, OpenError};
use zaqar_engine::{StoreOptions, registry};

fn options() -> StoreOptions {
    StoreOptions::new(Arc::new(ManualClock::default()))
}

#[tokio::test]
async fn an_unknown_scheme_is_refused_with_the_schemes_there_are() {
    let error = registry::open("ftp://host/x", &options()).await.unwrap_err();
    let OpenError::UnknownScheme { scheme, hint } = error else { panic!("{error}") };
    assert_eq!(scheme, "ftp");
    let known: Vec<_> = registry::schemes().collect();
    let expected = if known.is_empty() { "no backend at all".into() } else { known.join(", ") };
    assert_eq!(hint, format!("this build has {expected}"));
}

#[tokio::test]
async fn a_uri_without_scheme_is_not_valid_and_is_not_repeated() {
    let error = registry::open("user-and-password-at-host", &options()).await.unwrap_err();
    assert!(matches!(error, OpenError::InvalidUri { .. }), "{error}");
    assert!(!error.to_string().contains("password"), "{error}");
}

#[cfg(not(feature = "sqlite"))]
#[tokio::test]
async fn a_scheme_that_was_left_out_names_its_feature() {
    let error = registry::open("sqlite::memory:", &options()).await.unwrap_err();
    let OpenError::UnknownScheme { hint, .. } = error else { panic!("{error}") };
    assert_eq!(hint, "build with feature `sqlite`");
}
