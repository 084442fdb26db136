//! Writes the table of options down: as a sample file, as `--help`, as a documentation page.

use super::options::Config;
use super::project_limits::SECTION as PROJECTS;
use super::table::{OptionSpec, SectionSpec};
use super::value::OptionValue;

const SAMPLE_HEAD: &str = "\
# Configuration of zaqar-server: every option, commented out, at its default.
#
# An option may also be set by an environment variable, which wins over this file: the name in
# capitals after ZAQAR__, with two underscores for each dot, such as ZAQAR__TRANSPORT__MAX_MESSAGE_TTL.
# A flag on the command line wins over both.
#
# This file is written by `zaqar-server config sample`.
";

/// A TOML file with every option, commented out, at its default.
#[must_use]
pub fn sample() -> String {
    let mut text = SAMPLE_HEAD.to_owned();
    for section in Config::sections() {
        text.push('\n');
        text.push_str(&comment(section.doc));
        if !section.path.is_empty() {
            text.push_str(&format!("[{}]\n", section.path));
        }
        for option in &section.options {
            text.push('\n');
            text.push_str(&option_comment(option));
            text.push_str(&format!("#{} = {}\n", option.name, option.default));
        }
    }
    text
}

/// The comment over an option: what it does and what may be given.
pub(crate) fn option_comment(option: &OptionSpec) -> String {
    format!("{}# {}.\n", comment(option.doc), capitalised(&option.values()))
}

fn comment(doc: &str) -> String {
    doc.lines().map(|line| format!("# {}\n", line.trim())).collect()
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

fn one_line(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The list of options for `--help`.
#[must_use]
pub fn help() -> String {
    let mut text = "Options of the configuration file (and ZAQAR__SECTION__OPTION):\n".to_owned();
    for section in Config::sections() {
        if !section.path.is_empty() {
            text.push_str(&format!("\n[{}]\n", section.path));
        }
        for option in &section.options {
            let (name, default) = (option.name, &option.default);
            text.push_str(&format!("  {name} = {default}\n      {}\n", one_line(option.doc)));
        }
    }
    text
}

/// A page of documentation: a table for each section.
#[must_use]
pub fn markdown() -> String {
    let mut text = "# Options of zaqar-server\n\n\
        Defaults < TOML file < environment < flags. This page is written by \
        `zaqar-server config docs`.\n"
        .to_owned();
    for section in Config::sections() {
        text.push_str(&markdown_section(&section));
    }
    text
}

fn markdown_section(section: &SectionSpec) -> String {
    let title = if section.path.is_empty() {
        "Top of the file".to_owned()
    } else {
        format!("`[{}]`", section.path)
    };
    let mut text = format!("\n## {title}\n\n{}\n\n", one_line(section.doc));
    text.push_str("| Option | Default | Values | Meaning |\n|---|---|---|---|\n");
    for option in &section.options {
        let default = option.default.replace('|', "\\|");
        let (name, values) = (option.name, option.values());
        text.push_str(&format!(
            "| `{name}` | `{default}` | {values} | {} |\n",
            one_line(option.doc)
        ));
    }
    text
}

/// The configuration in force as TOML, without passwords.
#[must_use]
pub fn show(config: &Config) -> String {
    let shown = config.shown();
    let mut text = String::new();
    for section in Config::sections() {
        if !section.path.is_empty() {
            text.push_str(&format!("\n[{}]\n", section.path));
        }
        for option in &section.options {
            let key = option.key();
            if let Some((_, value)) = shown.iter().find(|(name, _)| *name == key) {
                text.push_str(&format!("{} = {value}\n", option.name));
            }
        }
    }
    for (name, options) in &config.stage_options {
        // Only the stage knows which of them are secret.
        let names = options.names().join(", ");
        text.push_str(&format!("\n[stages.{name}]\n# given, but not shown: {names}\n"));
    }
    for (id, limits) in &config.project_limits {
        text.push_str(&format!("\n[{PROJECTS}.{}]\n", id.shown()));
        for (option, value) in limits.each() {
            text.push_str(&format!("{option} = {value}\n"));
        }
    }
    text
}
