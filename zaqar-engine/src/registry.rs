//! Which driver serves a storage URI: the one place where backends are named.

use std::sync::Arc;

use zaqar_core::{Clock, OpenError};

use crate::engine::Stores;

/// How to open a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreOptions {
    /// The clock that the drivers read.
    pub clock: Arc<dyn Clock>,
    /// Whether to open a backend that is set up to lose messages.
    pub unreliable: bool,
}

impl StoreOptions {
    /// A store that must be safe.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, unreliable: false }
    }

    /// Sets whether to open a backend that is set up to lose messages.
    #[must_use]
    pub fn unreliable(mut self, unreliable: bool) -> Self {
        self.unreliable = unreliable;
        self
    }
}

/// A backend that this software knows, whether or not it is part of this build.
struct Backend {
    schemes: &'static [&'static str],
    feature: &'static str,
    built: bool,
}

const BACKENDS: [Backend; 5] = [
    Backend { schemes: &["sqlite"], feature: "sqlite", built: cfg!(feature = "sqlite") },
    Backend {
        schemes: &["postgres", "postgresql"],
        feature: "postgres",
        built: cfg!(feature = "postgres"),
    },
    Backend { schemes: &["mysql", "mariadb"], feature: "mysql", built: cfg!(feature = "mysql") },
    Backend {
        schemes: &[
            "redis",
            "rediss",
            "redis+sentinel",
            "rediss+sentinel",
            "redis+cluster",
            "rediss+cluster",
        ],
        feature: "redis",
        built: cfg!(feature = "redis"),
    },
    Backend {
        schemes: &["mongodb", "mongodb+srv"],
        feature: "mongo",
        built: cfg!(feature = "mongo"),
    },
];

/// The URI schemes of the backends in this build.
pub fn schemes() -> impl Iterator<Item = &'static str> {
    BACKENDS.iter().filter(|backend| backend.built).flat_map(|backend| backend.schemes).copied()
}

/// Opens the store at `uri`, for example `sqlite:///var/lib/zaqar/zaqar.db`.
///
/// # Errors
/// `UnknownScheme` says which feature to build with, or which schemes there are; the driver's.
#[cfg_attr(
    not(any(
        feature = "sqlite",
        feature = "postgres",
        feature = "mysql",
        feature = "redis",
        feature = "mongo"
    )),
    expect(unused_variables, reason = "a build without backends opens nothing")
)]
pub async fn open(uri: &str, options: &StoreOptions) -> Result<Stores, OpenError> {
    let (scheme, feature) = of(uri)?;
    match feature {
        #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
        Some("sqlite" | "postgres" | "mysql") => open_sql(uri, options).await,
        #[cfg(feature = "redis")]
        Some("redis") => open_redis(uri, options).await,
        #[cfg(feature = "mongo")]
        Some("mongo") => open_mongo(uri, options).await,
        _ => Err(unknown_scheme(&scheme)),
    }
}

/// The scheme of `uri`, and the feature that its driver needs, if there is such a driver.
fn of(uri: &str) -> Result<(String, Option<&'static str>), OpenError> {
    let Some((scheme, _rest)) = uri.split_once(':') else {
        let reason = format!("it names no scheme; this build has {}", known());
        return Err(OpenError::InvalidUri { reason });
    };
    let scheme = scheme.to_ascii_lowercase();
    let backend = BACKENDS.iter().find(|backend| backend.schemes.contains(&scheme.as_str()));
    let feature = backend.map(|backend| backend.feature);
    Ok((scheme, feature))
}

/// Where a store called `name` lies beside the one at `uri`, on the same backend under the same
/// settings: to be removed again. Nothing is made yet.
///
/// # Errors
/// As [`open`]; `InvalidUri` if `name` holds other than lower-case letters and digits.
#[cfg_attr(
    not(any(
        feature = "sqlite",
        feature = "postgres",
        feature = "mysql",
        feature = "redis",
        feature = "mongo"
    )),
    expect(unused_variables, reason = "a build without backends opens nothing")
)]
pub fn scratch_uri(uri: &str, name: &str) -> Result<String, OpenError> {
    let (scheme, feature) = of(uri)?;
    match feature {
        #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
        Some("sqlite" | "postgres" | "mysql") => zaqar_storage_sql::scratch::uri(uri, name),
        #[cfg(feature = "redis")]
        Some("redis") => zaqar_storage_redis::scratch::uri(uri, name),
        #[cfg(feature = "mongo")]
        Some("mongo") => zaqar_storage_mongo::scratch::uri(uri, name),
        _ => Err(unknown_scheme(&scheme)),
    }
}

/// Removes the store called `name` beside the one at `uri`; silent if there is none.
///
/// # Errors
/// As [`scratch_uri`]; `Backend` if it cannot be removed: some of it may be left.
#[cfg_attr(
    not(any(
        feature = "sqlite",
        feature = "postgres",
        feature = "mysql",
        feature = "redis",
        feature = "mongo"
    )),
    expect(unused_variables, reason = "a build without backends opens nothing")
)]
pub async fn scratch_remove(uri: &str, name: &str) -> Result<(), OpenError> {
    let (scheme, feature) = of(uri)?;
    match feature {
        #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
        Some("sqlite" | "postgres" | "mysql") => {
            zaqar_storage_sql::scratch::remove(uri, name).await
        }
        #[cfg(feature = "redis")]
        Some("redis") => zaqar_storage_redis::scratch::remove(uri, name).await,
        #[cfg(feature = "mongo")]
        Some("mongo") => zaqar_storage_mongo::scratch::remove(uri, name).await,
        _ => Err(unknown_scheme(&scheme)),
    }
}

fn unknown_scheme(scheme: &str) -> OpenError {
    let wanted = BACKENDS.iter().find(|backend| backend.schemes.contains(&scheme));
    let hint = match wanted {
        Some(backend) => format!("build with feature `{}`", backend.feature),
        None => format!("this build has {}", known()),
    };
    OpenError::UnknownScheme { scheme: scheme.to_owned(), hint }
}

fn known() -> String {
    let schemes: Vec<_> = schemes().collect();
    if schemes.is_empty() { "no backend at all".to_owned() } else { schemes.join(", ") }
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
async fn open_sql(uri: &str, options: &StoreOptions) -> Result<Stores, OpenError> {
    let clock = Arc::clone(&options.clock);
    let options = zaqar_storage_sql::OpenOptions::new(clock).unreliable(options.unreliable);
    let drivers = zaqar_storage_sql::open(uri, options).await?;
    Ok(Stores::new(drivers.control, drivers.data))
}

#[cfg(feature = "redis")]
async fn open_redis(uri: &str, options: &StoreOptions) -> Result<Stores, OpenError> {
    let clock = Arc::clone(&options.clock);
    let options = zaqar_storage_redis::OpenOptions::new(clock).unreliable(options.unreliable);
    let drivers = zaqar_storage_redis::open(uri, options).await?;
    Ok(Stores::new(drivers.control, drivers.data))
}

#[cfg(feature = "mongo")]
async fn open_mongo(uri: &str, options: &StoreOptions) -> Result<Stores, OpenError> {
    let clock = Arc::clone(&options.clock);
    let options = zaqar_storage_mongo::OpenOptions::new(clock).unreliable(options.unreliable);
    let drivers = zaqar_storage_mongo::open(uri, options).await?;
    Ok(Stores::new(drivers.control, drivers.data))
}
