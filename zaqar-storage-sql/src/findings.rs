//! Settings under which a store may lose what it acknowledged (G15).

use zaqar_core::{Health, OpenError};

/// A setting at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) setting: String,
    pub(crate) value: String,
    pub(crate) safe: String,
}

impl Finding {
    pub(crate) fn new(setting: &str, value: &str, safe: &str) -> Self {
        Self { setting: setting.to_owned(), value: value.to_owned(), safe: safe.to_owned() }
    }
}

impl From<Finding> for OpenError {
    fn from(Finding { setting, value, safe }: Finding) -> Self {
        Self::Unsafe { setting, value, safe }
    }
}

/// Refuses to open a store for the first finding, unless the operator wants it all the same.
pub(crate) fn refuse(findings: &[Finding], unreliable: bool) -> Result<(), OpenError> {
    match findings.first() {
        Some(finding) if !unreliable => Err(finding.clone().into()),
        _ => Ok(()),
    }
}

/// Tells all findings to whoever asks how the store is.
pub(crate) fn tell(findings: &[Finding], health: &mut Health) {
    for Finding { setting, value, safe } in findings {
        health.safe = false;
        health.warnings.push(format!("may lose messages: {setting} is {value}, must be {safe}"));
    }
}
