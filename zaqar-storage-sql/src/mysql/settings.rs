//! Whether the server is set up to keep what it accepts (G15).

use std::collections::HashMap;

use zaqar_core::Timestamp;

use crate::findings::Finding;
use crate::identity::Said;

use super::sql::{Sql, sql};
use super::step::Answers;

/// A setting that must have one of some values.
struct Rule {
    name: &'static str,
    safe: &'static [&'static str],
    /// Whether it is safe where the server does not know it: one vendor's or version's own.
    optional: bool,
}

const fn always(name: &'static str, safe: &'static [&'static str]) -> Rule {
    Rule { name, safe, optional: false }
}

const fn if_known(name: &'static str, safe: &'static [&'static str]) -> Rule {
    Rule { name, safe, optional: true }
}

const RULES: &[Rule] = &[
    // 3 is MariaDB's: flushed before the commit of a group as well.
    always("innodb_flush_log_at_trx_commit", &["1", "3"]),
    always("innodb_doublewrite", &["ON", "DETECT_AND_RECOVER"]),
    always("innodb_force_recovery", &["0"]),
    always("read_only", &["OFF", "0"]),
    if_known("super_read_only", &["OFF", "0"]),
    if_known("innodb_read_only", &["OFF", "0"]),
    // Galera acknowledges what a crash may take back.
    if_known("wsrep_on", &["OFF"]),
];

/// Ways to flush that do not.
const METHODS_UNSAFE: &[&str] = &["nosync", "littlesync"];

/// What a look at the server found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Findings {
    /// What may lose messages.
    pub(crate) unsafe_settings: Vec<Finding>,
    /// Who the store is: its unique id, and how often it was opened; `None`: it does not say.
    pub(crate) identity: Said,
    /// The server's time.
    pub(crate) server_now: Option<Timestamp>,
    /// The server's name and version.
    pub(crate) version: String,
}

/// Looks at the server and at the store, all in one round trip.
pub(crate) fn look() -> Vec<Sql> {
    vec![
        sql("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', \
               'innodb_doublewrite', 'innodb_force_recovery', 'innodb_flush_method', 'read_only', \
               'super_read_only', 'innodb_read_only', 'wsrep_on', 'log_bin', 'sync_binlog', \
               'version', 'max_allowed_packet')"),
        sql("SELECT t.table_name, t.engine FROM information_schema.tables AS t \
             WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' \
               AND (t.engine IS NULL OR t.engine <> 'InnoDB') AND t.table_name <> 'runs'"),
        sql("SELECT t.table_name, t.column_name FROM information_schema.columns AS t \
             WHERE t.table_schema = DATABASE() AND t.collation_name IS NOT NULL"),
        sql("SELECT s.store_id, s.epoch FROM store AS s"),
        sql("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000"),
    ]
}

/// Reads what [`look`] found.
pub(crate) fn read(answers: &Answers) -> Result<Findings, sqlx::Error> {
    let mut values = HashMap::new();
    for row in answers.rows(0) {
        values.insert(row.try_get::<&str>(0)?.to_lowercase(), row.try_get(1)?);
    }
    let mut findings = judge(&values);
    for row in answers.rows(1) {
        let engine: Option<&str> = row.try_get(1)?;
        let table = format!("engine of table {}", row.try_get::<&str>(0)?);
        findings.add(&table, engine.unwrap_or("none"), "InnoDB");
    }
    for row in answers.rows(2) {
        let (table, column): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        findings.add(&format!("collation of column {table}.{column}"), "a text's", "binary");
    }
    if let Some(row) = answers.rows(3).first() {
        findings.identity = Some((row.try_get(0)?, row.try_get(1)?));
    }
    if let Some(row) = answers.rows(4).first() {
        findings.server_now = Some(Timestamp::from_millis(row.try_get(0)?));
    }
    Ok(findings)
}

fn judge(values: &HashMap<String, String>) -> Findings {
    let mut findings = Findings::default();
    for rule in RULES {
        let value = match values.get(rule.name) {
            Some(value) => value.as_str(),
            None if rule.optional => continue,
            // This account may not read it, so nobody knows.
            None => "unknown",
        };
        if !rule.safe.contains(&value) {
            findings.add(rule.name, value, &rule.safe.join(" or "));
        }
    }
    let get = |name: &str| values.get(name).map_or("unknown", String::as_str);
    let method = get("innodb_flush_method");
    if METHODS_UNSAFE.contains(&method.to_lowercase().as_str()) {
        findings.add("innodb_flush_method", method, "one that flushes");
    }
    // With a binary log, recovery rolls back what the log does not tell.
    if get("log_bin") != "OFF" && get("log_bin") != "0" && get("sync_binlog") != "1" {
        findings.add("sync_binlog", get("sync_binlog"), "1, where log_bin is on");
    }
    let packet = get("max_allowed_packet");
    let packet_min = super::session::PACKET_MIN;
    if packet.parse::<usize>().is_ok_and(|bytes| bytes < packet_min) {
        findings.add("max_allowed_packet", packet, &format!("at least {packet_min}"));
    }
    let version = get("version");
    findings.version = match version.contains("MariaDB") {
        true => format!("MariaDB {}", version.split('-').next().unwrap_or(version)),
        false => format!("MySQL {version}"),
    };
    findings
}

impl Findings {
    fn add(&mut self, setting: &str, value: &str, safe: &str) {
        self.unsafe_settings.push(Finding::new(setting, value, safe));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(changed: &[(&str, &str)]) -> HashMap<String, String> {
        let good = [
            ("innodb_flush_log_at_trx_commit", "1"),
            ("innodb_doublewrite", "ON"),
            ("innodb_force_recovery", "0"),
            ("innodb_flush_method", "O_DIRECT"),
            ("read_only", "OFF"),
            ("log_bin", "OFF"),
            ("sync_binlog", "0"),
            ("max_allowed_packet", "16777216"),
            ("version", "10.11.19-MariaDB-0+deb12u1"),
        ];
        let all = good.iter().chain(changed);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_defaults_of_a_server_without_binary_log_are_safe() {
        let findings = judge(&values(&[]));
        assert_eq!(findings.unsafe_settings, Vec::new());
        assert_eq!(findings.version, "MariaDB 10.11.19");
    }

    #[test]
    fn each_setting_that_may_lose_a_commit_is_found_by_its_name() {
        for (changed, named) in [
            (vec![("innodb_flush_log_at_trx_commit", "2")], "innodb_flush_log_at_trx_commit"),
            (vec![("innodb_doublewrite", "OFF")], "innodb_doublewrite"),
            (vec![("innodb_force_recovery", "1")], "innodb_force_recovery"),
            (vec![("innodb_flush_method", "nosync")], "innodb_flush_method"),
            (vec![("read_only", "ON")], "read_only"),
            (vec![("wsrep_on", "ON")], "wsrep_on"),
            (vec![("log_bin", "ON")], "sync_binlog"),
            (vec![("max_allowed_packet", "1048576")], "max_allowed_packet"),
        ] {
            let findings = judge(&values(&changed)).unsafe_settings;
            let names: Vec<&str> = findings.iter().map(|found| found.setting.as_str()).collect();
            assert_eq!(names, [named]);
        }
    }

    #[test]
    fn a_setting_that_cannot_be_read_is_not_safe() {
        let mut values = values(&[]);
        values.remove("innodb_doublewrite");
        assert_eq!(judge(&values).unsafe_settings.len(), 1);
    }
}
