//! Cases as data, and what a case's author writes checks with.

use std::fmt;
use std::panic::Location;

use futures_util::future::BoxFuture;
use serde::Serialize;
use zaqar_core::{Capability, Error, InvalidId};

use crate::context::Context;
use crate::loss::explain::Exhibit;

/// The guarantees of `docs/guarantees.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Guarantee {
    /// Durable acknowledgement.
    G1,
    /// Atomic batch.
    G2,
    /// Bounded ambiguity.
    G3,
    /// No phantoms or resurrection.
    G4,
    /// Exclusive lease.
    G5,
    /// Fenced acknowledgement.
    G6,
    /// Redelivery.
    G7,
    /// TTL truth.
    G8,
    /// Complete paging.
    G9,
    /// Dead-letter conservation.
    G10,
    /// Incarnations.
    G11,
    /// Isolation of tenants.
    G12,
    /// Notification.
    G13,
    /// Pop at most once.
    G14,
    /// Refusal of unsafe settings.
    G15,
    /// Cancellation.
    G16,
    /// Migration between pools.
    G17,
}

impl Guarantee {
    /// All of them.
    pub const ALL: [Self; 17] = {
        use Guarantee::*;
        [G1, G2, G3, G4, G5, G6, G7, G8, G9, G10, G11, G12, G13, G14, G15, G16, G17]
    };

    /// What it is called.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::G1 => "durable acknowledgement",
            Self::G2 => "atomic batch",
            Self::G3 => "bounded ambiguity",
            Self::G4 => "no phantoms",
            Self::G5 => "exclusive lease",
            Self::G6 => "fenced acknowledgement",
            Self::G7 => "redelivery",
            Self::G8 => "TTL truth",
            Self::G9 => "complete paging",
            Self::G10 => "dead-letter conservation",
            Self::G11 => "incarnations",
            Self::G12 => "tenant isolation",
            Self::G13 => "notification",
            Self::G14 => "pop",
            Self::G15 => "refuse unsafe",
            Self::G16 => "cancellation",
            Self::G17 => "moving queues",
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Of whom a case asks something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Level {
    /// Of every driver.
    Core,
    /// Of a driver that declares the capability.
    Extended(Capability),
    /// Of a driver that does *not* declare the capability: it must refuse, and change nothing.
    Refusal(Capability),
    /// Of nobody yet: run and reported, not judged.
    Provisional,
}

/// What a case does.
pub type CaseFn = for<'a> fn(&'a Context) -> BoxFuture<'a, CaseResult>;

/// What came of a case.
pub type CaseResult = Result<(), Failure>;

/// One case of the suite.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name: `area.subject.fact`, lower case.
    pub id: &'static str,
    /// Of whom it asks something.
    pub level: Level,
    /// The guarantees that it shows.
    pub guarantees: &'static [Guarantee],
    /// The trait methods that it shows.
    pub methods: &'static [&'static str],
    /// The fact that it states, a sentence.
    pub summary: &'static str,
    /// What it does.
    pub run: CaseFn,
}

/// Why a case or trial did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was seen, and where in the suite.
    pub evidence: String,
    /// Whether nothing was shown either way, which is no pass.
    pub inconclusive: bool,
    /// What the driver does not declare and the case needs, beside what it is about.
    pub lacks: Option<Capability>,
    /// What shows it to people, if a ledger recorded what led to it.
    pub exhibit: Option<Box<Exhibit>>,
}

impl Failure {
    /// The driver broke what the case asks.
    #[track_caller]
    pub fn broken(evidence: impl fmt::Display) -> Self {
        let evidence = format!("{evidence} (at {})", place(Location::caller()));
        Self { evidence, inconclusive: false, lacks: None, exhibit: None }
    }

    /// The case could not show anything either way.
    #[track_caller]
    pub fn inconclusive(reason: impl fmt::Display) -> Self {
        let evidence = format!("{reason} (at {})", place(Location::caller()));
        Self { evidence, inconclusive: true, lacks: None, exhibit: None }
    }

    /// The case needs what the driver does not declare.
    #[track_caller]
    pub fn lacking(capability: Capability) -> Self {
        let lacks = Some(capability);
        Self {
            lacks,
            ..Self::inconclusive(format!("the driver does not declare {capability:?} too"))
        }
    }

    /// The same with what shows it to people.
    #[must_use]
    pub fn showing(self, exhibit: Option<Exhibit>) -> Self {
        Self { exhibit: exhibit.map(Box::new), ..self }
    }
}

/// Where in the suite that is, wherever the suite's sources lie on this machine.
fn place(location: &Location<'_>) -> String {
    let file = location.file();
    let file =
        file.rfind(env!("CARGO_PKG_NAME")).and_then(|start| file.get(start..)).unwrap_or(file);
    format!("{file}:{}:{}", location.line(), location.column())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.evidence)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    #[track_caller]
    fn from(error: Error) -> Self {
        // Debug: a backend failure shows its cause only there, and the suite's author needs it.
        Self::broken(format!("the driver answered with an error: {error} [{error:?}]"))
    }
}

impl From<anyhow::Error> for Failure {
    #[track_caller]
    fn from(error: anyhow::Error) -> Self {
        Self::broken(format!("{error:#}"))
    }
}

impl From<InvalidId> for Failure {
    #[track_caller]
    fn from(invalid: InvalidId) -> Self {
        Self::broken(invalid)
    }
}

/// Checks that `result` is an error that `expected` takes, and returns it.
///
/// # Errors
/// [`Failure`] if it is `Ok` or another error.
#[track_caller]
pub fn expect_err<T: fmt::Debug>(
    result: Result<T, Error>,
    expected: impl FnOnce(&Error) -> bool,
    what: impl fmt::Display,
) -> Result<Error, Failure> {
    match result {
        Ok(value) => Err(Failure::broken(format!("{what}: succeeded with {value:?}"))),
        Err(error) if expected(&error) => Ok(error),
        Err(error) => Err(Failure::broken(format!("{what}: answered with {error:?}"))),
    }
}

/// `check!(condition, "evidence {}", x)`: ends the case unless the condition holds.
macro_rules! check {
    ($condition:expr, $($evidence:tt)+) => {{
        let holds: bool = $condition;
        if !holds {
            return Err($crate::case::Failure::broken(format!($($evidence)+)));
        }
    }};
}

/// `check_eq!(found, wanted, "evidence {}", x)`: ends the case unless both are equal.
macro_rules! check_eq {
    ($found:expr, $wanted:expr, $($evidence:tt)+) => {
        match (&$found, &$wanted) {
            (found, wanted) => {
                if *found != *wanted {
                    let evidence = format!($($evidence)+);
                    return Err($crate::case::Failure::broken(format!(
                        "{evidence}: found {found:?}, wanted {wanted:?}"
                    )));
                }
            }
        }
    };
}

/// Lists a file's cases, once, as `pub(crate) static CASES`.
///
/// ```text
/// cases! {
///     expired_claim_returns_messages = "claim.expiry.returns_messages" {
///         level: Core,
///         guarantees: [G7],
///         methods: ["claim_create"],
///         summary: "A claim's end frees its messages.",
///     }
///     /* … */
/// }
/// async fn expired_claim_returns_messages(ctx: &Context) -> CaseResult { … }
/// ```
macro_rules! cases {
    ($($function:ident = $id:literal {
        level: $level:ident $(($capability:ident))?,
        guarantees: [$($guarantee:ident),* $(,)?],
        methods: [$($method:literal),* $(,)?],
        summary: $summary:literal $(,)?
    })*) => {
        pub(crate) static CASES: &[$crate::case::Case] = &[$(
            $crate::case::Case {
                id: $id,
                level: $crate::case::Level::$level $((zaqar_core::Capability::$capability))?,
                guarantees: &[$($crate::case::Guarantee::$guarantee),*],
                methods: &[$($method),*],
                summary: $summary,
                run: |ctx| Box::pin($function(ctx)),
            },
        )*];
    };
}

#[allow(unused_imports)] // which of them a build uses depends on the case files alone
pub(crate) use {cases, check, check_eq};
