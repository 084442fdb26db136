//! What a URI says: where the servers are, and how the store is used.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use zaqar_core::OpenError;

const PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

/// How the servers are set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One server.
    Single,
    /// Sentinels that know the master of this name.
    Sentinel(String),
    /// A cluster.
    Cluster,
}

/// A parsed URI.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) mode: Mode,
    pub(crate) tls: bool,
    /// Servers, sentinels or some nodes of the cluster.
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) sentinel_username: Option<String>,
    pub(crate) sentinel_password: Option<String>,
    pub(crate) db: i64,
    /// What all keys of the store begin with.
    pub(crate) prefix: String,
    /// Replicas that must have a write before it is acknowledged.
    pub(crate) wait_replicas: u32,
    /// Whether the server's own flush of a write is awaited by `WAITAOF`.
    pub(crate) wait_aof: bool,
    pub(crate) wait_timeout: Duration,
    pub(crate) response_timeout: Duration,
    /// Settings that the account may not read and that the operator vouches for.
    pub(crate) attested: Vec<String>,
}

impl std::fmt::Debug for Config {
    /// Without credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("location", &self.location()).finish_non_exhaustive()
    }
}

impl Config {
    /// Whether a write is acknowledged only when others have it too.
    pub(crate) fn waits(&self) -> bool {
        self.wait_replicas > 0 || self.wait_aof
    }

    /// Reads a URI.
    pub(crate) fn parse(uri: &str) -> Result<Self, OpenError> {
        let (scheme, rest) = uri.split_once("://").ok_or_else(|| invalid("has no scheme"))?;
        let (mode, tls) = match scheme {
            "redis" => (Mode::Single, false),
            "rediss" => (Mode::Single, true),
            "redis+sentinel" => (Mode::Sentinel(String::new()), false),
            "rediss+sentinel" => (Mode::Sentinel(String::new()), true),
            "redis+cluster" => (Mode::Cluster, false),
            "rediss+cluster" => (Mode::Cluster, true),
            other => {
                return Err(OpenError::UnknownScheme {
                    scheme: other.to_owned(),
                    hint: format!("zaqar-storage-redis opens {:?}", crate::SCHEMES),
                });
            }
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut config = Self {
            hosts: hosts_of(hosts, &mode)?,
            mode,
            tls,
            username: None,
            password: None,
            sentinel_username: None,
            sentinel_password: None,
            db: 0,
            prefix: "zaqar".to_owned(),
            wait_replicas: 0,
            wait_aof: false,
            wait_timeout: Duration::from_millis(2_000),
            response_timeout: Duration::from_millis(10_000),
            attested: Vec::new(),
        };
        let (username, password) = user.split_once(':').unwrap_or((user, ""));
        config.username = decoded(username)?;
        config.password = decoded(password)?;
        config.read_path(path)?;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            config.read_option(&name, &value)?;
        }
        config.check()?;
        Ok(config)
    }

    fn read_path(&mut self, path: &str) -> Result<(), OpenError> {
        let (first, second) = path.split_once('/').unwrap_or((path, ""));
        let db = match &mut self.mode {
            Mode::Sentinel(master) => {
                first.clone_into(master);
                second
            }
            Mode::Single | Mode::Cluster => first,
        };
        if !db.is_empty() {
            self.db = db.parse().map_err(|_| invalid("has a database that is no number"))?;
        }
        Ok(())
    }

    fn read_option(&mut self, name: &str, value: &str) -> Result<(), OpenError> {
        let number = || {
            let bad = |_| invalid(format!("has the option {name}, which must be a number"));
            value.parse::<u32>().map_err(bad)
        };
        match name {
            "prefix" => value.clone_into(&mut self.prefix),
            "db" => self.db = i64::from(number()?),
            "master" => self.mode = Mode::Sentinel(value.to_owned()),
            "sentinel_username" => self.sentinel_username = Some(value.to_owned()),
            "sentinel_password" => self.sentinel_password = Some(value.to_owned()),
            "wait_replicas" => self.wait_replicas = number()?,
            "wait_aof" => self.wait_aof = number()? > 0,
            "wait_timeout_ms" => self.wait_timeout = Duration::from_millis(number()?.into()),
            "response_timeout_ms" => {
                self.response_timeout = Duration::from_millis(number()?.into());
            }
            "attest" => self.attested = value.split(',').map(str::to_owned).collect(),
            other => return Err(invalid(format!("has the unknown option {other}"))),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), OpenError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        if self.prefix.is_empty() || !self.prefix.chars().all(allowed) {
            return Err(invalid(
                "has a prefix that is empty or holds other than letters and digits",
            ));
        }
        if self.mode == Mode::Sentinel(String::new()) {
            return Err(invalid("names no master: redis+sentinel://host/MASTER"));
        }
        if self.mode == Mode::Cluster && self.db != 0 {
            return Err(invalid("names a database, and a cluster has only one"));
        }
        if self.wait_timeout.is_zero() || self.wait_timeout >= self.response_timeout {
            return Err(invalid("has a wait_timeout_ms that is 0 or above response_timeout_ms"));
        }
        Ok(())
    }

    /// Where the store is, without credentials.
    pub(crate) fn location(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let hosts: Vec<String> =
            self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let hosts = hosts.join(",");
        let prefix = &self.prefix;
        match &self.mode {
            Mode::Single => format!("{scheme}://{hosts}/{} {prefix}", self.db),
            Mode::Sentinel(master) => format!("{scheme}+sentinel://{hosts}/{master} {prefix}"),
            Mode::Cluster => format!("{scheme}+cluster://{hosts} {prefix}"),
        }
    }
}

fn hosts_of(text: &str, mode: &Mode) -> Result<Vec<(String, u16)>, OpenError> {
    let port = if matches!(mode, Mode::Sentinel(_)) { SENTINEL_PORT } else { PORT };
    let host_of = |text: &str| {
        // An address of version 6 stands in brackets.
        let bare = text.strip_prefix('[').and_then(|text| text.split_once(']'));
        let (host, rest) = match bare {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = rest.map_or(Ok(port), str::parse);
        match port {
            Ok(port) if !host.is_empty() => Ok((host.to_owned(), port)),
            _ => Err(invalid("has an address that is not host:port")),
        }
    };
    let hosts: Vec<_> = text.split(',').map(host_of).collect::<Result<_, _>>()?;
    if hosts.len() > 1 && *mode == Mode::Single {
        return Err(invalid("names several servers: use redis+cluster or redis+sentinel"));
    }
    Ok(hosts)
}

fn decoded(text: &str) -> Result<Option<String>, OpenError> {
    if text.is_empty() {
        return Ok(None);
    }
    let text = percent_decode_str(text).decode_utf8();
    text.map(|text| Some(text.into_owned()))
        .map_err(|_| invalid("has credentials that are no text"))
}

fn invalid(reason: impl Into<String>) -> OpenError {
    OpenError::InvalidUri { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_says_where_and_how_and_its_location_has_no_credentials() {
        let config = Config::parse(
            "rediss+cluster://me:p%40ss@a:1,[::1]:2,c?prefix=x&wait_replicas=1&attest=appendonly",
        )
        .unwrap();
        assert_eq!(config.mode, Mode::Cluster);
        let hosts =
            [("a", 1), ("::1", 2), ("c", 6_379)].map(|(host, port)| (host.to_owned(), port));
        assert_eq!(config.hosts, hosts);
        assert_eq!(config.password.as_deref(), Some("p@ss"));
        assert_eq!((config.wait_replicas, config.prefix.as_str()), (1, "x"));
        assert_eq!(config.location(), "rediss+cluster://a:1,::1:2,c:6379 x");
        assert!(!format!("{config:?}").contains("p@ss"));
    }

    #[test]
    fn sentinels_need_the_name_of_a_master() {
        let config = Config::parse("redis+sentinel://:pw@a,b:1/main/3").unwrap();
        assert_eq!(config.mode, Mode::Sentinel("main".to_owned()));
        assert_eq!((config.db, config.hosts.len()), (3, 2));
        assert_eq!(config.hosts.first().map(|(_, port)| *port), Some(26_379));
        assert!(Config::parse("redis+sentinel://a").is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for uri in [
            "redis://",
            "redis://a,b",
            "redis://a:x",
            "redis://a/x",
            "redis://a?prefix=",
            "redis://a?prefix={x}",
            "redis://a?typo=1",
            "redis+cluster://a/1",
            "redis://a?wait_timeout_ms=0",
            "http://a",
        ] {
            assert!(Config::parse(uri).is_err(), "{uri} was accepted");
        }
    }
}
