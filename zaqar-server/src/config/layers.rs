//! Lays defaults, file, environment and flags over one another and reads the result.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use config::{Environment, FileFormat, Format, Map, Source, Value, ValueKind};

use super::options::Config;
use super::project_limits::{self, ProjectLimits};
use super::stage_options::{self, StageOptions};
use super::table::{env_name, key};
use super::value::OptionValue;

/// Where the `config` crate says that a variable came from.
const ENVIRONMENT: &str = "the environment";

/// What is wrong with one option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The option's key.
    pub key: String,
    /// The file, environment variable or flag that set it.
    pub source: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "option {}, set by {}: {}", self.key, self.source, self.reason)
    }
}

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read, or is no TOML.
    #[error("configuration file {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A variable that is meant for this program is no text.
    #[error("environment variable {name}: is not UTF-8")]
    Environment {
        /// The variable.
        name: String,
    },
    /// Options that do not exist, or values that do not fit: all of them.
    #[error("{}", lines(.0))]
    Options(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The layers over the defaults, lowest first.
#[derive(Debug, Default)]
pub struct Layers {
    layers: Vec<Layer>,
}

#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layers {
    /// The defaults alone.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file.
    ///
    /// # Errors
    /// [`ConfigError::File`].
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::File { path: name.clone(), reason: error.to_string() })?;
        self.text(&name, &text)
    }

    /// Adds TOML text; `name` is what a problem calls it.
    ///
    /// # Errors
    /// [`ConfigError::File`].
    pub fn text(mut self, name: &str, text: &str) -> Result<Self, ConfigError> {
        let map = FileFormat::Toml.parse(Some(&name.to_owned()), text).map_err(|error| {
            ConfigError::File { path: name.to_owned(), reason: first_and_last_line(&error) }
        })?;
        self.layers.push(Layer(map));
        Ok(self)
    }

    /// Adds the variables named `ZAQAR__…`.
    ///
    /// # Errors
    /// [`ConfigError::Environment`].
    pub fn env(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut ours = Map::new();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with("ZAQAR__")) else {
                continue;
            };
            let Ok(value) = value.into_string() else {
                return Err(ConfigError::Environment { name: name.to_owned() });
            };
            ours.insert(name.to_owned(), value);
        }
        let environment = Environment::with_prefix("ZAQAR")
            .prefix_separator("__")
            .separator("__")
            .source(Some(ours));
        let map = environment.collect().map_err(|error| ConfigError::File {
            path: ENVIRONMENT.to_owned(),
            reason: error.to_string(),
        })?;
        self.layers.push(Layer(map));
        Ok(self)
    }

    /// Sets one option by a command-line flag.
    #[must_use]
    pub fn flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        let value = Value::new(Some(&flag.to_owned()), ValueKind::String(value.to_owned()));
        self.layers.push(Layer(Map::from_iter([(key.to_owned(), value)])));
        self
    }

    /// Reads the options.
    ///
    /// # Errors
    /// [`ConfigError::Options`] with every unknown key and every bad value, or, if there is none,
    /// with every contradiction.
    pub fn load(self) -> Result<Config, ConfigError> {
        let (config, mut problems) = self.read()?;
        if problems.is_empty() {
            problems = super::check::contradictions(&config);
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::Options(problems)) }
    }

    /// Reads what can be read, each option by itself, and says what cannot.
    pub(crate) fn read(self) -> Result<(Config, Vec<Problem>), ConfigError> {
        let mut builder = config::Config::builder();
        for layer in self.layers {
            builder = builder.add_source(layer);
        }
        let merged = builder.build().and_then(|merged| merged.collect());
        let mut merged = merged.map_err(|error| ConfigError::File {
            path: "all layers".to_owned(),
            reason: error.to_string(),
        })?;
        let stages = stage_options::take(&mut merged);
        let (projects, problems) = project_limits::take(&mut merged);
        let mut reader = Reader { stages, projects, problems, ..Reader::default() };
        flatten("", merged, &mut reader.values);
        let config = Config::read(&mut reader);
        Ok((config, reader.finish()))
    }
}

/// The parser's report without the quoted line of the file, which may hold a password.
fn first_and_last_line(error: &impl ToString) -> String {
    let text = error.to_string();
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.as_slice() {
        [] => "is not TOML".to_owned(),
        [only] => (*only).to_owned(),
        [first, .., last] => format!("{first}: {last}"),
    }
}

fn flatten(prefix: &str, map: Map<String, Value>, into: &mut BTreeMap<String, Value>) {
    for (name, value) in map {
        let path = key(prefix, &name);
        match value.kind {
            ValueKind::Table(inner) => flatten(&path, inner, into),
            _ => {
                into.insert(path, value);
            }
        }
    }
}

/// Hands out the given values by key and gathers what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    values: BTreeMap<String, Value>,
    stages: BTreeMap<String, StageOptions>,
    projects: BTreeMap<String, ProjectLimits>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(crate) fn take<T: OptionValue>(
        &mut self,
        section: &str,
        name: &str,
        range: Option<(u64, u64)>,
        default: T,
    ) -> T {
        let key = key(section, name);
        let Some(value) = self.values.remove(&key) else { return default };
        match T::read(&value).and_then(|read| in_range(read, range)) {
            Ok(read) => read,
            Err(reason) => {
                let source = source_of(&key, &value);
                self.problems.push(Problem { key, source, reason });
                default
            }
        }
    }

    pub(crate) fn stage_options(&mut self) -> BTreeMap<String, StageOptions> {
        std::mem::take(&mut self.stages)
    }

    pub(crate) fn project_limits(&mut self) -> BTreeMap<String, ProjectLimits> {
        std::mem::take(&mut self.projects)
    }

    fn finish(mut self) -> Vec<Problem> {
        for (key, value) in std::mem::take(&mut self.values) {
            let source = source_of(&key, &value);
            let reason = unknown(&key);
            self.problems.push(Problem { key, source, reason });
        }
        self.problems.sort();
        self.problems
    }
}

pub(super) fn in_range<T: OptionValue>(read: T, range: Option<(u64, u64)>) -> Result<T, String> {
    match (read.number(), range) {
        (Some(number), Some((min, max))) if number < min || number > max => {
            Err(format!("must be from {min} to {max}, not {number}"))
        }
        _ => Ok(read),
    }
}

pub(super) fn source_of(key: &str, value: &Value) -> String {
    match value.origin() {
        Some(ENVIRONMENT) => format!("environment variable {}", env_name(key)),
        Some(origin) => origin.to_owned(),
        None => "an unnamed layer".to_owned(),
    }
}

/// Why `key` is no option, and which one may have been meant.
fn unknown(key: &str) -> String {
    let sections = Config::sections();
    if sections.iter().any(|s| s.path == key || s.path.starts_with(&format!("{key}."))) {
        return "is a section, not an option".to_owned();
    }
    let name = key.rsplit('.').next().unwrap_or(key);
    let meant = sections.iter().flat_map(|s| &s.options).find(|option| option.name == name);
    match meant {
        Some(option) => format!("no such option; there is {}", option.key()),
        None => "no such option".to_owned(),
    }
}
