//! What a run of the suite says: as data, as JSON, as text, as a page, for whoever collects tests
//! (JUnit), and as the driver's blueprint (Markdown).

mod blueprint;
mod chart;
mod escape;
mod html;
mod junit;

pub(crate) use escape::escaped;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use zaqar_core::{Capabilities, Capability};

use crate::case::{Guarantee, Level};
use crate::counts::Counts;
use crate::harness::Subject;
use crate::loss::explain::Exhibit;
use crate::profile::{Profile, Verdict};
use crate::suite::Budget;

/// Version of the JSON form; raised with every change that a reader could stumble over.
pub const SCHEMA_VERSION: u32 = 2;

/// What came of one case or trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// What it states was seen.
    Passed {
        /// What was counted on the way: nothing by cases.
        #[serde(skip_serializing_if = "Counts::is_empty")]
        counts: Counts,
    },
    /// The driver broke it.
    Failed {
        /// What was seen instead.
        evidence: String,
    },
    /// The driver does not declare the capability, and refuses as it must.
    RefusalVerified {
        /// What it does not declare.
        capability: Capability,
    },
    /// The driver does not declare the capability, and there is no call that it could refuse.
    Undeclared {
        /// What it does not declare.
        capability: Capability,
    },
    /// It was left out.
    Skipped {
        /// By what: `"waiver"`, `"harness"`.
        by: String,
        /// Why.
        reason: String,
    },
    /// Nothing was shown either way.
    Inconclusive {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Passed { .. } => "passed",
            Self::Failed { .. } => "FAILED",
            Self::RefusalVerified { .. } => "refused",
            Self::Undeclared { .. } => "undeclared",
            Self::Skipped { .. } => "skipped",
            Self::Inconclusive { .. } => "inconclusive",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Passed { counts } => counts.to_string(),
            Self::Failed { evidence } => evidence.clone(),
            Self::RefusalVerified { capability } | Self::Undeclared { capability } => {
                format!("{capability:?} is not declared")
            }
            Self::Skipped { by, reason } => format!("{by}: {reason}"),
            Self::Inconclusive { reason } => reason.clone(),
        }
    }
}

/// The result of one case or trial.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// Of whom it asks something.
    pub level: Level,
    /// What it shows.
    pub guarantees: Vec<Guarantee>,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed_ms: u64,
    /// The seed with which it failed, if that is not the run's but one that it failed with before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What shows to people how it failed, if a ledger recorded what led to it.
    #[serde(skip)]
    pub exhibit: Option<Box<Exhibit>>,
}

/// What the files of a failed trial's exhibit are called: the subject, the trial and the seed.
#[must_use]
pub fn exhibit_name(subject: &Subject, id: &str, seed: u64) -> String {
    format!("{}-{id}-{seed}", subject.slug())
}

/// What a run of the suite says of a driver.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of this form.
    pub schema_version: u32,
    /// Version of the suite.
    pub suite_version: &'static str,
    /// What was examined.
    pub subject: Subject,
    /// What it declares.
    pub capabilities: Capabilities,
    /// The seed of the run.
    pub seed: u64,
    /// How much was asked.
    pub budget: Budget,
    /// The verdict on each profile.
    pub profiles: BTreeMap<Profile, Verdict>,
    /// Every case and trial, in order.
    pub entries: Vec<Entry>,
    /// The command that runs this again.
    pub reproduce: String,
    /// The licence of the driver's package, as SPDX names it; empty if that is not known.
    pub licence: String,
}

impl Report {
    /// The report that `entries` come to.
    #[must_use]
    pub fn new(
        subject: Subject,
        capabilities: Capabilities,
        seed: u64,
        budget: Budget,
        entries: Vec<Entry>,
        reproduce: String,
    ) -> Self {
        let profiles = Profile::ALL.into_iter().map(|profile| {
            let counts = |entry: &&Entry| {
                Profile::judging(&entry.id, entry.level, &entry.outcome) == Some(profile)
            };
            let outcomes: Vec<&Outcome> =
                entries.iter().filter(counts).map(|entry| &entry.outcome).collect();
            (profile, Verdict::of(&outcomes))
        });
        Self {
            schema_version: SCHEMA_VERSION,
            suite_version: env!("CARGO_PKG_VERSION"),
            subject,
            capabilities,
            seed,
            budget,
            profiles: profiles.collect(),
            entries,
            reproduce,
            licence: String::new(),
        }
    }

    /// Names the licence of the driver's package.
    #[must_use]
    pub fn licensed(mut self, licence: impl Into<String>) -> Self {
        self.licence = licence.into();
        self
    }

    /// What came of the case or trial `id`; `None` if it was not run.
    #[must_use]
    pub fn outcome(&self, id: &str) -> Option<&Outcome> {
        self.entries.iter().find(|entry| entry.id == id).map(|entry| &entry.outcome)
    }

    /// The ids of what failed, unjudged ones left out.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(|entry| entry.level != Level::Provisional)
            .filter(|entry| matches!(entry.outcome, Outcome::Failed { .. }))
            .map(|entry| entry.id.as_str())
    }

    /// 0: nothing was broken; 1: something was; 2: something could not be shown either way.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let inconclusive = |entry: &Entry| matches!(entry.outcome, Outcome::Inconclusive { .. });
        if self.failed().next().is_some() {
            1
        } else if self.entries.is_empty() || self.entries.iter().any(inconclusive) {
            2
        } else {
            0
        }
    }

    /// The verdicts, and how many cases and trials came to what, in lines: a test harness knows only of
    /// passing, failing and leaving out, and calls a refusal that was as it must be a pass.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let mut words: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in &self.entries {
            *words.entry(entry.outcome.word()).or_default() += 1;
        }
        let counts: Vec<String> =
            words.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let verdict = |(profile, verdict): (&Profile, &Verdict)| {
            format!("{:<14} {verdict:?}", format!("{profile:?}"))
        };
        let verdicts = self.profiles.iter().map(verdict);
        verdicts.chain([format!("of {}: {}", self.entries.len(), counts.join(", "))]).collect()
    }

    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let Subject { driver, version, backend, mode } = &self.subject;
        let mut text = format!("{driver} {version} on {backend}, {mode}\n");
        let declared: Vec<String> =
            self.capabilities.iter().map(|capability| format!("{capability:?}")).collect();
        // Writing to a String cannot fail.
        let mut line = |line: String| writeln!(text, "{line}").unwrap_or_default();
        line(format!("suite {}, seed {}, {:?}", self.suite_version, self.seed, self.budget));
        line(format!("declares {}", declared.join(" ")));
        line(format!("run again: {}", self.reproduce));
        line(String::new());
        self.summary().into_iter().for_each(&mut line);
        line(format!("counted in all: {}", self.counts()));
        line(String::new());
        for entry in &self.entries {
            let guarantees: Vec<String> =
                entry.guarantees.iter().map(Guarantee::to_string).collect();
            line(format!(
                "{:<12} {:<60} {:<12} {}",
                entry.outcome.word(),
                entry.id,
                guarantees.join(" "),
                entry.outcome.detail()
            ));
        }
        text
    }

    /// What all trials counted together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counted = self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Passed { counts } => Some(counts),
            _ => None,
        });
        counted.fold(Counts::none(), |all, counts| all.and(counts))
    }

    /// What its cases and trials come to for each guarantee that any of them shows.
    #[must_use]
    pub fn guarantees(&self) -> BTreeMap<Guarantee, Verdict> {
        let mut outcomes: BTreeMap<Guarantee, Vec<&Outcome>> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.level != Level::Provisional) {
            for guarantee in &entry.guarantees {
                outcomes.entry(*guarantee).or_default().push(&entry.outcome);
            }
        }
        // What a driver does not declare says nothing about the guarantees that it gives.
        let declared = |outcome: &&Outcome| {
            !matches!(outcome, Outcome::Undeclared { .. } | Outcome::RefusalVerified { .. })
        };
        let verdict = |outcomes: Vec<&Outcome>| {
            let asked: Vec<&Outcome> = outcomes.iter().copied().filter(declared).collect();
            Verdict::of(if asked.is_empty() { &outcomes } else { &asked })
        };
        outcomes.into_iter().map(|(guarantee, all)| (guarantee, verdict(all))).collect()
    }

    /// The report as a page that needs nothing but itself.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// The report in JUnit's form of XML.
    #[must_use]
    pub fn junit(&self) -> String {
        junit::document(self)
    }

    /// The driver's blueprint: what the run shows of its reliability, scalability, interoperability
    /// and openness, in Markdown.
    #[must_use]
    pub fn blueprint(&self) -> String {
        blueprint::page(self)
    }

    /// Writes the report as `<subject>.json`, `.txt`, `.html`, `.xml` (JUnit) and `.md` (the
    /// blueprint) into `folder`, and the exhibits of what failed beside them
    /// ([`Exhibit::write`], as [`exhibit_name`] has it); returns the first.
    ///
    /// # Errors
    /// If the folder cannot be made or written to.
    pub fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let file = |kind: &str| folder.join(format!("{}.{kind}", self.subject.slug()));
        let json = file("json");
        std::fs::write(&json, serde_json::to_string_pretty(self)?)?;
        std::fs::write(file("txt"), self.text())?;
        std::fs::write(file("html"), self.html())?;
        std::fs::write(file("xml"), self.junit())?;
        std::fs::write(file("md"), self.blueprint())?;
        for entry in &self.entries {
            if let Some(exhibit) = &entry.exhibit {
                let seed = entry.seed.unwrap_or(self.seed);
                exhibit.write(folder, &exhibit_name(&self.subject, &entry.id, seed))?;
            }
        }
        Ok(json)
    }
}
