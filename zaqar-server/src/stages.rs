//! Which stages there are, and those that the configuration wants, in its order.
//!
//! A program that brings stages of its own registers them with [`Stages::with`] and hands the lot to
//! [`cli::main_with`](crate::cli::main_with) or [`serve::start_with`](crate::serve::start_with).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use zaqar_engine::stages::{MetricsStage, Stage};

use crate::config::{Config, ConfigError, Problem, StageOptions};

/// An option of a stage is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {reason}")]
pub struct InvalidStage {
    /// The option's name within the stage's section; empty if it is none in particular.
    pub option: String,
    /// What is wrong with it. Never repeats what may be secret.
    pub reason: String,
}

impl InvalidStage {
    /// Says what is wrong with an option.
    pub fn new(option: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { option: option.into(), reason: reason.into() }
    }
}

type Build = dyn Fn(&StageOptions) -> Result<Arc<dyn Stage>, InvalidStage> + Send + Sync;

/// The stages that a program has, by the names that its configuration knows them by.
#[derive(Clone)]
pub struct Stages {
    known: BTreeMap<String, Arc<Build>>,
}

impl Default for Stages {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}

impl Stages {
    /// Those that are part of this crate: `metrics`.
    #[must_use]
    pub fn new() -> Self {
        let stages = Self { known: BTreeMap::new() };
        stages.with("metrics", |options| {
            options.read::<NoOptions>()?;
            Ok(Arc::new(MetricsStage::new()))
        })
    }

    /// Adds a stage under a name, or replaces the one of that name. `build` is called once when a
    /// server starts whose configuration wants the stage, with what is in `[stages.NAME]`.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        build: impl Fn(&StageOptions) -> Result<Arc<dyn Stage>, InvalidStage> + Send + Sync + 'static,
    ) -> Self {
        self.known.insert(name.to_owned(), Arc::new(build));
        self
    }

    /// The stages that the configuration wants, in its order.
    ///
    /// # Errors
    /// [`ConfigError::Options`] with every stage that there is not, that is wanted twice, or whose
    /// options are not right.
    pub fn assemble(&self, config: &Config) -> Result<Vec<Arc<dyn Stage>>, ConfigError> {
        let order = &config.stages.order.0;
        let none = StageOptions::default();
        let mut problems = Vec::new();
        let mut stages = Vec::with_capacity(order.len());
        for (index, name) in order.iter().enumerate() {
            let Some(build) = self.known.get(name) else {
                problems.push(problem("stages.order", ORDER, self.unknown(name)));
                continue;
            };
            if order.iter().take(index).any(|before| before == name) {
                problems.push(problem("stages.order", ORDER, format!("names `{name}` twice")));
                continue;
            }
            let options = config.stage_options.get(name).unwrap_or(&none);
            match build(options) {
                Ok(stage) => stages.push(stage),
                Err(InvalidStage { option, reason }) => {
                    let dot = if option.is_empty() { "" } else { "." };
                    let key = format!("stages.{name}{dot}{option}");
                    problems.push(problem(&key, options.source(), reason));
                }
            }
        }
        for (name, options) in &config.stage_options {
            if !self.known.contains_key(name) {
                let key = format!("stages.{name}");
                problems.push(problem(&key, options.source(), self.unknown(name)));
            }
        }
        if problems.is_empty() { Ok(stages) } else { Err(ConfigError::Options(problems)) }
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<_> = self.known.keys().map(String::as_str).collect();
        format!("there is no stage `{name}`; this program has: {}", known.join(", "))
    }
}

/// Where the order of the stages comes from, as far as is known here.
const ORDER: &str = "the configuration as a whole";

fn problem(key: &str, source: &str, reason: String) -> Problem {
    Problem { key: key.to_owned(), source: source.to_owned(), reason }
}

/// The options of a stage that has none.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use zaqar_core::DataDriver;

    use super::*;
    use crate::config::Layers;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Options {
        size: u32,
        #[serde(default)]
        queues: BTreeMap<String, u32>,
    }

    /// A stage that does nothing, under the name of what it was told.
    #[derive(Debug)]
    struct Named(String);

    impl Stage for Named {
        fn name(&self) -> &str {
            &self.0
        }

        fn wrap(&self, data: Arc<dyn DataDriver>) -> Arc<dyn DataDriver> {
            data
        }
    }

    fn stages() -> Stages {
        Stages::new().with("sized", |options| {
            let options: Options = options.read()?;
            if options.size == 0 {
                return Err(InvalidStage::new("size", "must be at least 1"));
            }
            Ok(Arc::new(Named(format!("{} {:?}", options.size, options.queues))))
        })
    }

    fn assembled(toml: &str, env: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let layers = Layers::new().text("zaqar.toml", toml).unwrap().env(env).unwrap();
        let config = layers.load().map_err(|error| error.to_string())?;
        let stages = stages().assemble(&config).map_err(|error| error.to_string())?;
        Ok(stages.iter().map(|stage| stage.name().to_owned()).collect())
    }

    #[test]
    fn stages_are_put_on_in_the_configured_order_each_with_its_own_options() {
        assert_eq!(assembled("", &[]).unwrap(), ["metrics"]);
        assert!(assembled("[stages]\norder = []", &[]).unwrap().is_empty());
        let toml = "[stages]\norder = ['sized', 'metrics']\n\
                    [stages.sized]\nsize = 7\nqueues = { 'a.b' = 1, Big = 9 }";
        let built = assembled(toml, &[]).unwrap();
        assert_eq!(built, [r#"7 {"Big": 9, "a.b": 1}"#, "metrics"]);
        let env = [("ZAQAR__STAGES__ORDER", "sized"), ("ZAQAR__STAGES__SIZED__SIZE", "8")];
        assert_eq!(assembled("", &env).unwrap(), ["8 {}"]);
    }

    #[test]
    fn a_stage_that_there_is_not_is_an_error_that_lists_those_that_there_are() {
        let error = assembled("[stages]\norder = ['metrics', 'seized']", &[]).unwrap_err();
        let expected = "option stages.order, set by the configuration as a whole: there is no \
                        stage `seized`; this program has: metrics, sized";
        assert_eq!(error, expected);
        let error = assembled("[stages.seized]\nsize = 1", &[]).unwrap_err();
        assert!(error.starts_with("option stages.seized, set by zaqar.toml: "), "{error}");
        let error = assembled("[stages]\norder = ['metrics', 'metrics']", &[]).unwrap_err();
        assert!(error.ends_with("names `metrics` twice"), "{error}");
    }

    #[test]
    fn an_option_that_is_not_right_is_named_and_a_value_that_may_be_secret_is_not() {
        let error = |options: &str| {
            assembled(&format!("[stages]\norder = ['sized']\n[stages.sized]\n{options}"), &[])
                .unwrap_err()
        };
        for (options, key, reason) in [
            ("size = 0", "stages.sized.size", "must be at least 1"),
            ("size = 'hush'", "stages.sized.size", "must be an integer"),
            ("", "stages.sized", "missing field"),
            ("size = 1\nsise = 2", "stages.sized", "unknown field"),
            ("size = 1\nqueues = { a = 'hush' }", "stages.sized.queues.a", "must be an integer"),
        ] {
            let error = error(options);
            assert!(error.starts_with(&format!("option {key}, set by")), "{options}: {error}");
            assert!(error.contains(reason) && !error.contains("hush"), "{options}: {error}");
        }
        let error = assembled("[stages.metrics]\nx = 1", &[]).unwrap_err();
        assert!(error.starts_with("option stages.metrics, set by zaqar.toml"), "{error}");
    }
}
