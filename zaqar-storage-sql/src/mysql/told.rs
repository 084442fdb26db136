//! From a failure inside the driver to what a caller is told.

use zaqar_core::Result;

use crate::error::Failure;

use super::error::failed_without_effect;

/// Turns failures of reading an answer into errors.
pub(crate) trait Told<T> {
    /// What the caller of `operation` is told; a failure of the engine had no effect.
    fn told(self, operation: &'static str) -> Result<T>;
}

impl<T> Told<T> for Result<T, Failure> {
    fn told(self, operation: &'static str) -> Result<T> {
        self.map_err(|failure| match failure {
            Failure::Refused(error) => error,
            Failure::Engine(error) => failed_without_effect(operation, error),
        })
    }
}

impl<T> Told<T> for Result<T, sqlx::Error> {
    fn told(self, operation: &'static str) -> Result<T> {
        self.map_err(|error| failed_without_effect(operation, error))
    }
}
