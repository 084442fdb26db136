//! Rules that refer to rules: to ones that are there, and not in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::ParseError;
use super::policy::{Entry, Origin, PolicyError};

/// Longest chain of rules that refer to each other; each takes stack.
const CHAIN_MAX: usize = 32;

/// Refuses references that lead nowhere, in a circle, or too far.
pub(super) fn check(rules: &BTreeMap<String, Entry>, file: &str) -> Result<(), PolicyError> {
    let mut walk = Walk { rules, file, chain: Vec::new(), sound: BTreeSet::new() };
    rules.keys().try_for_each(|name| walk.visit(name))
}

struct Walk<'w> {
    rules: &'w BTreeMap<String, Entry>,
    file: &'w str,
    /// The rules on the way here.
    chain: Vec<&'w str>,
    /// Rules from which every way ends.
    sound: BTreeSet<&'w str>,
}

impl<'w> Walk<'w> {
    fn visit(&mut self, name: &'w str) -> Result<(), PolicyError> {
        let Some(entry) = self.rules.get(name) else { return Ok(()) };
        self.chain.push(name);
        for (at, referred) in &entry.references {
            let fault = |reason| self.fault(name, entry, *at, reason);
            if !self.rules.contains_key(referred) {
                return Err(fault(format!("there is no rule \"{referred}\"")));
            }
            if self.chain.contains(&referred.as_str()) {
                let circle = self.chain.iter().skip_while(|known| **known != referred);
                let circle: Vec<&str> = circle.copied().chain([referred.as_str()]).collect();
                let circle = circle.join(" → ");
                return Err(fault(format!("rules refer to each other in a circle: {circle}")));
            }
            if self.chain.len() >= CHAIN_MAX {
                return Err(fault(format!("more than {CHAIN_MAX} rules refer to one another")));
            }
            if !self.sound.contains(referred.as_str()) {
                self.visit(referred)?;
            }
        }
        self.chain.pop();
        self.sound.insert(name);
        Ok(())
    }

    fn fault(&self, rule: &str, entry: &Entry, at: usize, reason: String) -> PolicyError {
        let line = match entry.origin {
            Origin::File { line } => line,
            // Only a rule of the file can have made a default one refer in a circle.
            Origin::Default => 1,
        };
        let (file, rule) = (self.file.to_owned(), rule.to_owned());
        PolicyError::Rule { file, line, rule, reason: ParseError::new(at, reason) }
    }
}
