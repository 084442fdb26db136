//! Configuration: defaults < TOML file < environment (`ZAQAR__SECTION__OPTION`) < flags.
//!
//! [`options`] is the one table of all options; structs, defaults, ranges, `--help`, the sample
//! file and the documentation are made from it. An option that means the same as one of OpenStack
//! Zaqar has its section and name. An unknown key or a bad value is an error that names it.

pub(crate) mod check;
mod choices;
pub mod document;
pub mod import;
pub mod layers;
pub mod options;
mod project_limits;
pub mod secret;
mod stage_options;
pub mod table;
pub mod value;

pub use layers::{ConfigError, Layers, Problem};
pub use options::Config;
pub use project_limits::ProjectLimits;
pub use stage_options::StageOptions;
pub use table::{OptionSpec, SectionSpec};
