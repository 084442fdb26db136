//! Whether a server is set up to keep what it accepts (G15): asked when a connection is made, and by
//! every health check.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, Value};
use zaqar_core::{OpenError, Timestamp};

use crate::config::{Config, Mode};

/// What is asked of every server of a store.
#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) unreliable: bool,
    /// Settings that the operator vouches for where they cannot be read.
    pub(crate) attested: Vec<String>,
    pub(crate) wait_replicas: u32,
    pub(crate) wait_aof: bool,
    /// Whether there may be a failover: sentinels or a cluster.
    pub(crate) may_fail_over: bool,
    /// Whether a new connection to an unsafe server is refused: not while the store is being opened,
    /// which examines its servers itself and says more.
    pub(crate) enforced: AtomicBool,
}

impl Checks {
    /// What the servers that `config` names are asked.
    pub(crate) fn of(config: &Config, unreliable: bool) -> Self {
        Self {
            unreliable,
            attested: config.attested.clone(),
            wait_replicas: config.wait_replicas,
            wait_aof: config.wait_aof,
            may_fail_over: config.mode != Mode::Single,
            enforced: AtomicBool::new(false),
        }
    }
}

/// A setting that may lose data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsafe {
    setting: &'static str,
    value: String,
    safe: &'static str,
}

impl std::fmt::Display for Unsafe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { setting, value, safe } = self;
        write!(f, "the server may lose messages: {setting} is {value}, must be {safe}")
    }
}

/// What an examination found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// `Redis 7.0.15`.
    pub(crate) backend: String,
    pub(crate) wrong: Vec<Unsafe>,
    /// What an operator should know and that is no reason to refuse.
    pub(crate) warnings: Vec<String>,
    /// The server's own time, if it tells.
    pub(crate) now: Option<Timestamp>,
}

impl Findings {
    /// An error that names the first wrong setting.
    pub(crate) fn permit(self, unreliable: bool) -> Result<(), RedisError> {
        match self.wrong.first() {
            Some(wrong) if !unreliable => {
                let text = "a server is set up to lose data";
                Err((ErrorKind::Client, text, wrong.to_string()).into())
            }
            _ => Ok(()),
        }
    }

    /// As an opener is told.
    pub(crate) fn permit_open(&self, unreliable: bool) -> Result<(), OpenError> {
        match self.wrong.first() {
            Some(Unsafe { setting, value, safe }) if !unreliable => Err(OpenError::Unsafe {
                setting: (*setting).to_owned(),
                value: value.clone(),
                safe: (*safe).to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Settings that are read, in this order.
const SETTINGS: [&str; 6] = [
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "maxmemory-policy",
    "min-replicas-to-write",
    "aof-load-truncated",
];

const UNKNOWN: &str = "unknown";

impl Checks {
    /// Whether new connections are to be examined.
    pub(crate) fn is_enforced(&self) -> bool {
        self.enforced.load(Ordering::Acquire)
    }

    /// From now on, new connections are examined.
    pub(crate) fn enforce(&self) {
        self.enforced.store(true, Ordering::Release);
    }

    /// Asks a server for its settings and its state.
    pub(crate) async fn examine(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Findings, RedisError> {
        let mut ask = redis::pipe();
        for setting in SETTINGS {
            ask.cmd("CONFIG").arg("GET").arg(setting);
        }
        ask.cmd("INFO");
        let answers = connection.send_packed_commands(&ask, 0, SETTINGS.len() + 1).await?;
        let mut known = HashMap::new();
        for (setting, answer) in SETTINGS.into_iter().zip(&answers) {
            if let Some(value) = setting_of(answer) {
                known.insert(setting, value);
            }
        }
        let info = answers.last().map(info_of).unwrap_or_default();
        Ok(self.judge(&known, &info))
    }

    fn judge(&self, known: &HashMap<&str, String>, info: &HashMap<String, String>) -> Findings {
        let mut findings =
            Findings { backend: backend(info), now: server_time(info), ..Findings::default() };
        // Some of it may be read even where CONFIG is not allowed.
        let shown = |name: &str| info.get(name).cloned();
        let append = shown("aof_enabled").map(|on| if on == "1" { "yes" } else { "no" }.to_owned());
        let append = known.get("appendonly").cloned().or(append);
        let policy = known.get("maxmemory-policy").cloned().or_else(|| shown("maxmemory_policy"));
        let flush = known.get("appendfsync").cloned();
        let rewriting = known.get("no-appendfsync-on-rewrite").cloned();
        self.expect(&mut findings, "appendonly", append, "yes");
        if !(self.wait_aof && flush.as_deref() == Some("everysec")) {
            self.expect(&mut findings, "appendfsync", flush, "always");
        }
        self.expect(&mut findings, "no-appendfsync-on-rewrite", rewriting, "no");
        self.expect(&mut findings, "maxmemory-policy", policy, "noeviction");
        self.expect(&mut findings, "role", shown("role"), "master");
        self.expect(&mut findings, "aof_last_write_status", shown("aof_last_write_status"), "ok");
        if self.wait_aof && !knows_waitaof(info) {
            let value = format!("of no use to {}", findings.backend);
            findings.wrong.push(Unsafe {
                setting: "wait_aof",
                value,
                safe: "off before Redis 7.2",
            });
        }
        self.judge_replicas(known, info, &mut findings);
        if shown("aof_last_bgrewrite_status").is_some_and(|status| status != "ok") {
            findings.warnings.push("the last rewrite of the append-only file failed".to_owned());
        }
        findings
    }

    fn expect(
        &self,
        findings: &mut Findings,
        setting: &'static str,
        value: Option<String>,
        safe: &'static str,
    ) {
        match value {
            Some(value) if value == safe => {}
            Some(value) => findings.wrong.push(Unsafe { setting, value, safe }),
            None if self.attested.iter().any(|attested| attested == setting) => {}
            None => {
                findings.wrong.push(Unsafe { setting, value: UNKNOWN.to_owned(), safe });
            }
        }
    }

    /// Who asked for replicas must have them; where there could be a failover without, it is said.
    fn judge_replicas(
        &self,
        known: &HashMap<&str, String>,
        info: &HashMap<String, String>,
        findings: &mut Findings,
    ) {
        let number = |text: Option<&String>| text.and_then(|text| text.parse::<u32>().ok());
        let least = number(known.get("min-replicas-to-write"));
        let present = number(info.get("connected_slaves")).unwrap_or(0);
        if self.wait_replicas > 0 {
            let attested = self.attested.iter().any(|name| name == "min-replicas-to-write");
            if least.is_none_or(|least| least == 0) && !(least.is_none() && attested) {
                let value = least.map_or(UNKNOWN.to_owned(), |least| least.to_string());
                let setting = "min-replicas-to-write";
                findings.wrong.push(Unsafe { setting, value, safe: "1 or more" });
            }
            if present < self.wait_replicas {
                let text = "fewer replicas are connected than writes wait for: they will fail";
                findings.warnings.push(text.to_owned());
            }
        } else if present > 0 || self.may_fail_over {
            let text = "a failover may lose what was acknowledged: writes wait for no replica \
                        (wait_replicas)";
            findings.warnings.push(text.to_owned());
        }
    }
}

/// The value in the answer to `CONFIG GET name`, which is a list or a map of name and value.
fn setting_of(answer: &Value) -> Option<String> {
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    };
    match answer {
        Value::Array(pair) => text(pair.get(1)?),
        Value::Map(pairs) => text(&pairs.first()?.1),
        _ => None,
    }
}

fn info_of(answer: &Value) -> HashMap<String, String> {
    let text = match answer {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        _ => return HashMap::new(),
    };
    let pair = |line: &str| line.split_once(':').map(|(k, v)| (k.to_owned(), v.trim().to_owned()));
    text.lines().filter_map(pair).collect()
}

/// The server's time, which it tells from version 6.2 on.
fn server_time(info: &HashMap<String, String>) -> Option<Timestamp> {
    let micros: i64 = info.get("server_time_usec")?.parse().ok()?;
    Some(Timestamp::from_millis(micros / 1_000))
}

fn backend(info: &HashMap<String, String>) -> String {
    match (info.get("valkey_version"), info.get("redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => "Redis".to_owned(),
    }
}

/// `WAITAOF` came with 7.2; every Valkey has it.
fn knows_waitaof(info: &HashMap<String, String>) -> bool {
    let mut parts = info.get("redis_version").map(String::as_str).unwrap_or_default().split('.');
    let mut part = || parts.next().and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    (part(), part()) >= (7, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Checks {
        Checks {
            unreliable: false,
            attested: Vec::new(),
            wait_replicas: 0,
            wait_aof: false,
            may_fail_over: false,
            enforced: AtomicBool::new(true),
        }
    }

    fn safe() -> HashMap<&'static str, String> {
        let values = ["yes", "always", "no", "noeviction", "0", "yes"];
        SETTINGS.into_iter().zip(values.map(str::to_owned)).collect()
    }

    fn info() -> HashMap<String, String> {
        let pairs =
            [("role", "master"), ("aof_last_write_status", "ok"), ("redis_version", "7.0.15")];
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn safe_settings_are_accepted_and_each_unsafe_one_is_named() {
        assert!(checks().judge(&safe(), &info()).wrong.is_empty());
        for (setting, value) in [
            ("appendonly", "no"),
            ("appendfsync", "everysec"),
            ("no-appendfsync-on-rewrite", "yes"),
            ("maxmemory-policy", "allkeys-lru"),
        ] {
            let mut known = safe();
            known.insert(setting, value.to_owned());
            let wrong = checks().judge(&known, &info()).wrong;
            assert_eq!(wrong.iter().map(|w| w.setting).collect::<Vec<_>>(), [setting]);
        }
    }

    #[test]
    fn a_setting_that_cannot_be_read_is_unsafe_unless_attested() {
        let mut known = safe();
        known.remove("appendfsync");
        let wrong = checks().judge(&known, &info()).wrong;
        assert_eq!(
            wrong.first().map(|w| (w.setting, w.value.as_str())),
            Some(("appendfsync", UNKNOWN))
        );
        let attesting = Checks { attested: vec!["appendfsync".to_owned()], ..checks() };
        assert!(attesting.judge(&known, &info()).wrong.is_empty());
    }

    #[test]
    fn waiting_for_replicas_needs_a_master_that_refuses_without_them() {
        let waiting = Checks { wait_replicas: 1, ..checks() };
        let wrong = waiting.judge(&safe(), &info()).wrong;
        assert_eq!(wrong.first().map(|w| w.setting), Some("min-replicas-to-write"));
        let cluster = Checks { may_fail_over: true, ..checks() };
        let findings = cluster.judge(&safe(), &info());
        assert!(findings.wrong.is_empty() && findings.warnings.len() == 1);
    }
}
