//! One line on standard error that is overwritten as the run goes on.

use std::io::{IsTerminal, Write};

/// Where progress is shown.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    label: String,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Off,
    /// A terminal: one line, overwritten.
    Line,
    /// A file or pipe: a line for each step, without the counts in between.
    Steps,
}

impl Progress {
    /// Progress on standard error, or none when `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let mode = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Mode::Off,
            (false, true) => Mode::Line,
            (false, false) => Mode::Steps,
        };
        Self { label: String::new(), mode }
    }

    /// The same with a label before each line.
    #[must_use]
    pub fn labelled(&self, label: String) -> Self {
        Self { label, mode: self.mode }
    }

    /// Announces a step.
    pub fn step(&self, text: &str) {
        match self.mode {
            Mode::Off => {}
            Mode::Line => self.overwrite(text),
            Mode::Steps => eprintln!("{}: {text}", self.label),
        }
    }

    /// Updates the counts of the current step.
    pub fn update(&self, text: &str) {
        if self.mode == Mode::Line {
            self.overwrite(text);
        }
    }

    /// Clears the line, before results are printed.
    pub fn clear(&self) {
        if self.mode == Mode::Line {
            eprint!("\r\x1b[K");
        }
    }

    fn overwrite(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        // Nobody can be told when standard error itself cannot be written.
        if write!(stderr, "\r\x1b[K{}: {text}", self.label).is_ok() {
            stderr.flush().ok();
        }
    }
}
