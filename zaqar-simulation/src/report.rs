//! All results of a run, as text and as JSON.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::options::Options;
use crate::{growth, herd, lookups, loss, moving, placement, staleness};

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of this program.
    pub version: &'static str,
    /// What was asked for.
    pub options: Options,
    /// How even placement is.
    pub placement: placement::Placement,
    /// Pools that are added or drained.
    pub growth: Vec<growth::Case>,
    /// A pool that is lost.
    pub loss: loss::Loss,
    /// Look-ups in steady state.
    pub lookups: Vec<lookups::Case>,
    /// Heads that start.
    pub herd: Vec<herd::Case>,
    /// Stale entries after a change.
    pub staleness: staleness::Staleness,
    /// Moving queues.
    pub moving: Vec<moving::Case>,
}

impl Report {
    /// Simulates everything.
    ///
    /// # Errors
    /// The model contradicts itself.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            options: options.clone(),
            placement: placement::run(options)?,
            growth: growth::run(options)?,
            loss: loss::run(options)?,
            lookups: lookups::run(options)?,
            herd: herd::run(options)?,
            staleness: staleness::run(options)?,
            moving: moving::run(options)?,
        })
    }

    /// Where results contradict the weights or a formula; none should.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        [
            placement::failures(&self.placement),
            growth::failures(&self.growth),
            loss::failures(&self.loss),
            lookups::failures(&self.lookups),
            staleness::failures(&self.staleness),
            moving::failures(&self.moving),
        ]
        .concat()
    }

    /// The tables.
    #[must_use]
    pub fn text(&self) -> String {
        let options = &self.options;
        [
            placement::text(&self.placement),
            growth::text(&self.growth, options.queue_life_h),
            loss::text(&self.loss),
            lookups::text(&self.lookups, options.requests_per_s),
            herd::text(&self.herd),
            staleness::text(&self.staleness, options.ttl_s()),
            moving::text(&self.moving, options),
        ]
        .join("\n")
    }

    /// Writes indented JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
