//! Turns an INI file of OpenStack Zaqar into ours and says what it could not carry over.

mod reasons;

use std::collections::BTreeMap;

use ini::{Ini, ParseOption};

use super::document::option_comment;
use super::layers::Layers;
use super::options::Config;
use super::table::key;

/// What became of an INI file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The TOML file.
    pub toml: String,
    /// What it lacks.
    pub left_out: Vec<LeftOut>,
}

/// An option that was not carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Section and option, as the INI file has them.
    pub option: String,
    /// Why. Never a value: it may be secret.
    pub reason: String,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.option, self.reason)
    }
}

/// The text is not an INI file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotIni(String);

/// Translates the INI text of a `zaqar.conf`.
///
/// # Errors
/// [`NotIni`] if it cannot be read at all.
pub fn import(text: &str) -> Result<Imported, NotIni> {
    let options = ParseOption {
        enabled_quote: false,
        enabled_escape: false,
        enabled_indented_mutiline_value: true,
        enabled_preserve_key_leading_whitespace: false,
    };
    let ini = Ini::load_from_str_opt(text, options)
        .map_err(|error| NotIni(format!("line {}: {}", error.line, error.msg)))?;
    let mut import = Import::default();
    for (section, properties) in &ini {
        let section = section.unwrap_or("DEFAULT");
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in properties {
            if let Some((line, _)) = name.split_once('\n') {
                return Err(NotIni(format!("section [{section}]: no `=` after `{}`", line.trim())));
            }
            values.entry(name).or_default().push(value);
        }
        for (name, given) in values {
            import.option(section, name, &given);
        }
    }
    Ok(import.finish())
}

#[derive(Debug, Default)]
struct Import {
    carried: BTreeMap<String, String>,
    left_out: Vec<LeftOut>,
}

impl Import {
    fn option(&mut self, section: &str, name: &str, given: &[&str]) {
        let Some(last) = given.last() else { return };
        if let Some(reason) = reasons::left_out(section, name, last) {
            self.leave(section, name, reason);
            return;
        }
        if reasons::holds_anyway(section, name, last) {
            return;
        }
        let (key, value) = reasons::renamed(section, name, last)
            .unwrap_or_else(|| (our_key(section, name), (*last).to_owned()));
        match plain(&value).and_then(|value| checked(&key, &value).map(|()| value)) {
            Ok(value) => {
                if given.len() > 1 {
                    let reason = format!("given {} times; only the last was taken", given.len());
                    self.leave(section, name, reason);
                }
                self.carried.insert(key, value);
            }
            Err(reason) => self.leave(section, name, reason),
        }
    }

    fn leave(&mut self, section: &str, name: &str, reason: impl Into<String>) {
        let reason = reason.into();
        self.left_out.push(LeftOut { option: format!("[{section}] {name}"), reason });
    }

    fn finish(mut self) -> Imported {
        let mut layers = Layers::new();
        for (key, value) in &self.carried {
            layers = layers.flag("the INI file", key, value);
        }
        // Each option was read by itself before, so only contradictions can be left.
        let config = layers.read().map(|(config, _)| config).unwrap_or_default();
        for problem in super::check::contradictions(&config) {
            let reason = format!("carried over, but the server will not start: {}", problem.reason);
            self.left_out.push(LeftOut { option: problem.key, reason });
        }
        Imported { toml: self.toml(&config), left_out: self.left_out }
    }

    fn toml(&self, config: &Config) -> String {
        let shown: BTreeMap<_, _> = config.shown().into_iter().collect();
        let mut text = "# Made from an INI file by `zaqar-server config import`.\n".to_owned();
        for section in Config::sections() {
            let mut header = (!section.path.is_empty()).then(|| format!("\n[{}]\n", section.path));
            for option in section.options.iter().filter(|o| self.carried.contains_key(&o.key())) {
                text.push_str(&header.take().unwrap_or_default());
                let value = shown.get(&option.key()).map_or("", String::as_str);
                text.push_str(&format!("\n{}{} = {value}\n", option_comment(option), option.name));
            }
        }
        if !self.left_out.is_empty() {
            text.push_str("\n# Not carried over:\n");
            for left in &self.left_out {
                text.push_str(&format!("#   {left}\n"));
            }
        }
        text
    }
}

fn our_key(section: &str, name: &str) -> String {
    let section = if section == "DEFAULT" { String::new() } else { section.replace(':', ".") };
    key(&section, name)
}

/// Resolves the escaped `$$`; refuses a reference to another option.
fn plain(value: &str) -> Result<String, String> {
    let mut rest = value.split("$$");
    if rest.any(|part| part.contains('$')) {
        return Err("refers to another option with `$`; write the value out".to_owned());
    }
    Ok(value.replace("$$", "$"))
}

fn checked(key: &str, value: &str) -> Result<(), String> {
    let read = Layers::new().flag("the INI file", key, value).read();
    let (_, problems) = read.map_err(|error| error.to_string())?;
    match problems.into_iter().next() {
        Some(problem) => Err(problem.reason),
        None => Ok(()),
    }
}
