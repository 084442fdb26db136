//! Stores beside a store, made to be removed: where the conformance suite asks a configured backend
//! without touching what is in it.

use std::sync::Arc;

use redis::{Cmd, Value};
use zaqar_core::OpenError;

use crate::checks::Checks;
use crate::config::Config;
use crate::error::{Failure, open_error};
use crate::link::Link;
use crate::topology::Topology;

/// Keys that one step of a removal looks at.
const STEP: usize = 1_000;

/// Where a store called `name` lies beside the one at `uri`: under a prefix of its own on the same
/// servers, under the same settings. Nothing is made yet.
///
/// # Errors
/// `InvalidUri` if `uri` is none, or `name` holds other than lower-case letters and digits.
pub fn uri(uri: &str, name: &str) -> Result<String, OpenError> {
    checked(name)?;
    Config::parse(uri)?;
    let (base, query) = uri.split_once('?').unwrap_or((uri, ""));
    let kept = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("prefix="));
    let own = format!("prefix={name}");
    Ok(format!("{base}?{}", kept.chain([own.as_str()]).collect::<Vec<_>>().join("&")))
}

/// Removes the store called `name` beside the one at `uri`, with all that it holds; silent if there
/// is none. Its handles must be closed. Walks every key of the servers, a thousand at a time.
///
/// # Errors
/// As [`uri`]; `Backend` if a server cannot be reached: some of the store may be left.
pub async fn remove(uri: &str, name: &str) -> Result<(), OpenError> {
    let config = Config::parse(&self::uri(uri, name)?)?;
    // What is being removed may lie on servers that nobody should post to.
    let checks = Arc::new(Checks::of(&config, true));
    let topology = Topology::new(config, checks);
    topology.refresh().await.map_err(failed)?;
    for master in topology.masters() {
        remove_from(&master, &format!("{name}:*")).await.map_err(failed)?;
    }
    topology.disconnect();
    Ok(())
}

async fn remove_from(server: &Link, pattern: &str) -> Result<(), Failure> {
    let mut cursor = b"0".to_vec();
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(STEP);
        let (next, keys) = page(send(server, &scan).await?);
        // One key a command: those of a cluster lie in many slots.
        for key in keys {
            send(server, redis::cmd("UNLINK").arg(key)).await?;
        }
        if next == b"0" {
            return Ok(());
        }
        cursor = next;
    }
}

async fn send(server: &Link, command: &Cmd) -> Result<Value, Failure> {
    let connection = server.connection().await?;
    server.send(connection, command).await
}

/// A page of a scan: where it goes on, `0` at its end, and its keys.
fn page(answer: Value) -> (Vec<u8>, Vec<Vec<u8>>) {
    let bytes = |value: Value| match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    };
    let mut parts = match answer {
        Value::Array(parts) => parts.into_iter(),
        _ => Vec::new().into_iter(),
    };
    let next = parts.next().and_then(bytes).unwrap_or_else(|| b"0".to_vec());
    let keys = match parts.next() {
        Some(Value::Array(keys)) => keys.into_iter().filter_map(bytes).collect(),
        _ => Vec::new(),
    };
    (next, keys)
}

fn failed(failure: Failure) -> OpenError {
    open_error(failure.into_error("removing a store", true))
}

/// Names stand in patterns of keys as they are.
fn checked(name: &str) -> Result<(), OpenError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !name.is_empty() && name.len() <= 32 && name.bytes().all(plain) {
        return Ok(());
    }
    let reason = "a scratch store is named by 1 to 32 lower-case letters and digits".to_owned();
    Err(OpenError::InvalidUri { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_takes_the_place_of_the_stores_own() {
        for (store, wanted) in [
            ("redis://h:1/2", "redis://h:1/2?prefix=x1"),
            ("redis://:p@h?prefix=mine&wait_aof=1", "redis://:p@h?wait_aof=1&prefix=x1"),
            ("redis+cluster://a,b?prefix=m", "redis+cluster://a,b?prefix=x1"),
        ] {
            assert_eq!(uri(store, "x1").unwrap(), wanted);
        }
        for name in ["", "*", "a*", "a?", "A", "a:b", "[a]"] {
            assert!(matches!(uri("redis://h", name), Err(OpenError::InvalidUri { .. })), "{name}");
        }
    }

    #[test]
    fn a_page_of_a_scan_is_read_whole() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let answer = Value::Array(vec![text("17"), Value::Array(vec![text("a"), text("b")])]);
        assert_eq!(page(answer), (b"17".to_vec(), vec![b"a".to_vec(), b"b".to_vec()]));
        assert_eq!(page(Value::Nil), (b"0".to_vec(), Vec::new()));
    }
}
