//! Whether the server is set up to keep what it accepts (G15).

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use std::sync::Arc;

use crate::findings::Finding;
use crate::identity::Said;

use super::step::Statement;

/// A setting that must have one value.
struct Rule {
    name: &'static str,
    safe: &'static str,
    /// Whether another value is refused; otherwise it is only warned of.
    refuse: bool,
}

const fn refuse(name: &'static str, safe: &'static str) -> Rule {
    Rule { name, safe, refuse: true }
}

const RULES: &[Rule] = &[
    refuse("fsync", "on"),
    refuse("full_page_writes", "on"),
    refuse("data_sync_retry", "off"),
    refuse("zero_damaged_pages", "off"),
    refuse("ignore_checksum_failure", "off"),
    Rule { name: "data_checksums", safe: "on", refuse: false },
];

/// What a look at the server found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Findings {
    /// What may lose messages.
    pub(crate) unsafe_settings: Vec<Finding>,
    /// What an operator should know.
    pub(crate) warnings: Vec<String>,
    /// Who the store is: its unique id, and how often it was opened; `None`: it does not say.
    pub(crate) identity: Said,
    /// Whether anything was ever stored in it.
    pub(crate) holds_data: bool,
    /// The server's own time, in milliseconds.
    pub(crate) server_now: i64,
}

/// Looks at the server and at the store of a schema, in one statement. A setting that this account
/// may not read, or that this server does not know, is `NULL`, which is not safe.
pub(crate) fn look(schema: &str) -> Statement {
    let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    // The schema's name was checked to need no quoting.
    let text: Arc<str> = format!(
        "SELECT ARRAY(SELECT s.setting FROM unnest($1::text[]) WITH ORDINALITY AS u (name, place) \
             LEFT JOIN pg_settings AS s ON s.name = u.name ORDER BY u.place), \
           ARRAY(SELECT c.relname::text FROM pg_class AS c \
             WHERE c.relnamespace = to_regnamespace('{schema}') AND c.relpersistence <> 'p'), \
           pg_is_in_recovery(), current_setting('transaction_read_only'), \
           (SELECT uuid FROM {schema}.store), (SELECT epoch FROM {schema}.store), \
           EXISTS (SELECT 1 FROM {schema}.heads) OR EXISTS (SELECT 1 FROM {schema}.queues), \
           (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    )
    .into();
    sqlx::query(AssertSqlSafe(text)).bind(names)
}

/// Reads what [`look`] found.
pub(crate) fn read(row: &PgRow) -> Result<Findings, sqlx::Error> {
    let mut findings = Findings::default();
    let values: Vec<Option<String>> = row.try_get(0)?;
    for (rule, value) in RULES.iter().zip(values) {
        let value = value.unwrap_or_else(|| "unknown".to_owned());
        if value == rule.safe {
            continue;
        }
        if rule.refuse {
            findings.add(rule.name, &value, rule.safe);
        } else {
            findings.warnings.push(format!("{} is {value}, should be {}", rule.name, rule.safe));
        }
    }
    for table in row.try_get::<Vec<String>, _>(1)? {
        findings.add(&format!("table {table}"), "unlogged", "logged");
    }
    if row.try_get(2)? {
        findings.add("pg_is_in_recovery", "true", "false: the primary");
    }
    let read_only: &str = row.try_get(3)?;
    if read_only != "off" {
        findings.add("transaction_read_only", read_only, "off");
    }
    let (uuid, epoch): (Option<String>, Option<i64>) = (row.try_get(4)?, row.try_get(5)?);
    findings.identity = uuid.zip(epoch);
    findings.holds_data = row.try_get(6)?;
    findings.server_now = row.try_get(7)?;
    Ok(findings)
}

impl Findings {
    fn add(&mut self, setting: &str, value: &str, safe: &str) {
        self.unsafe_settings.push(Finding::new(setting, value, safe));
    }
}
