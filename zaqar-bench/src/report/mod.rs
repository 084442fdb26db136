//! Results: what a round measured, as text and as JSON, and ratios between rounds.

mod compare;
mod file;
mod round;
mod spread;
mod text;

pub use compare::{Comparison, compare};
pub use file::{Machine, ReportFile, write_json};
pub use round::{Round, ServerUsage};
pub use spread::Spread;
pub use text::{print, print_comparison, print_round};
