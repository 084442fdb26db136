//! The log file: [`frame`] is its format, [`file`] the folder, [`writer`] the thread that writes.

mod file;
mod frame;
mod writer;

use std::path::Path;

use zaqar_core::OpenError;

use crate::journal::{Journal, Lines};

/// Opens the log in `folder`, for the driver's own journal.
pub(crate) fn start(folder: &Path) -> Result<(Lines, Box<dyn Journal>), OpenError> {
    let (lines, target) = file::open(folder)?;
    let writer = writer::LogWriter::start(target)
        .map_err(|error| OpenError::Backend { source: error.into() })?;
    Ok((lines, Box::new(writer)))
}
