//! The log file: [`frame`] is its format, [`file`] the folder, [`writer`] the thread that writes.

mod file;
mod frame;
mod writer;

pub(crate) use file::LogFolder;
pub(crate) use writer::LogWriter;
