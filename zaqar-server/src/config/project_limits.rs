//! What is set for one project alone: `[limits.projects.ID]`, with the options of `[limits.rates]`
//! and `[limits.quotas]`.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};
use zaqar_core::ProjectId;

use super::layers::{Problem, in_range, source_of};
use super::options::Config;
use super::table::{OptionSpec, key};
use super::value::OptionValue;

/// The section that holds a section for each such project.
pub(super) const SECTION: &str = "limits.projects";
/// The sections whose options can be set for a project.
const SETTABLE: [&str; 2] = ["limits.rates", "limits.quotas"];

/// The limits that one project has of its own, by the names of their options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectLimits(BTreeMap<&'static str, u64>);

impl ProjectLimits {
    /// What an option is set to for this project; `None`: what holds for all.
    #[must_use]
    pub fn get(&self, option: &str) -> Option<u64> {
        self.0.get(option).copied()
    }

    /// Every option that is set.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(option, value)| (*option, *value))
    }
}

/// Takes the projects' sections out of what all layers say; also what is wrong with them.
pub(super) fn take(
    merged: &mut Map<String, Value>,
) -> (BTreeMap<String, ProjectLimits>, Vec<Problem>) {
    let (mut taken, mut problems) = (BTreeMap::new(), Vec::new());
    let Some(ValueKind::Table(limits)) = merged.get_mut("limits").map(|value| &mut value.kind)
    else {
        return (taken, problems);
    };
    let Some(ValueKind::Table(projects)) = limits.get("projects").map(|value| value.kind.clone())
    else {
        return (taken, problems);
    };
    limits.remove("projects");
    let sections = Config::sections();
    let settable = || sections.iter().filter(|s| SETTABLE.contains(&s.path));
    let options: Vec<&OptionSpec> = settable().flat_map(|section| &section.options).collect();
    for (id, value) in projects {
        let section = key(SECTION, &id);
        match &value.kind {
            ValueKind::Table(values) if ProjectId::new(&id).is_ok() => {
                taken.insert(id, read(&section, values, &options, &mut problems));
            }
            kind => {
                let reason = match kind {
                    ValueKind::Table(_) => "is no project's id",
                    _ => "must be a section, named by a project's id",
                };
                problems.push(problem(&section, &value, reason.to_owned()));
            }
        }
    }
    (taken, problems)
}

fn read(
    section: &str,
    values: &Map<String, Value>,
    options: &[&OptionSpec],
    problems: &mut Vec<Problem>,
) -> ProjectLimits {
    let mut limits = ProjectLimits::default();
    for (name, value) in values {
        let key = key(section, name);
        let read = match options.iter().find(|option| option.name == name) {
            Some(option) => u64::read(value)
                .and_then(|number| in_range(number, option.range))
                .map(|number| (option.name, number)),
            None => {
                let names: Vec<&str> = options.iter().map(|option| option.name).collect();
                Err(format!("no such option; for a project there are {}", names.join(", ")))
            }
        };
        match read {
            Ok((name, number)) => {
                limits.0.insert(name, number);
            }
            Err(reason) => problems.push(problem(&key, value, reason)),
        }
    }
    limits
}

fn problem(key: &str, value: &Value, reason: String) -> Problem {
    Problem { key: key.to_owned(), source: source_of(key, value), reason }
}
