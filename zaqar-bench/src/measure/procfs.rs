//! Processor time and memory of a process, from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// `USER_HZ`: what Linux counts processor time in towards user space, on every architecture
/// that Rust runs on.
const TICKS_PER_S: u64 = 100;

/// What a set of processes has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all threads, in steps of 10 ms.
    pub cpu: Duration,
    /// Resident memory.
    pub rss_bytes: u64,
}

/// Sums up the usage of `pids`; `None` when one of them cannot be read.
#[must_use]
pub fn usage(pids: &[u32]) -> Option<Usage> {
    if pids.is_empty() {
        return None;
    }
    let mut total = Usage { cpu: Duration::ZERO, rss_bytes: 0 };
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        total.cpu += cpu_of_stat(&stat)?;
        total.rss_bytes += rss_of_status(&status).unwrap_or_default();
    }
    Some(total)
}

fn cpu_of_stat(stat: &str) -> Option<Duration> {
    // The second field is the command in parentheses and may itself hold blanks and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_S))
}

fn rss_of_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The processes on this machine that listen on TCP port `port`, as far as permissions show them.
///
/// Several when workers share one socket.
#[must_use]
pub fn find_listeners(port: u16) -> Vec<u32> {
    let mut sockets = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        sockets.extend(listening_sockets(&text, port));
    }
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found: Vec<u32> = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| !sockets.is_empty() && holds_one_of(*pid, &sockets))
        .collect();
    found.sort_unstable();
    found
}

/// Inodes of the sockets in state LISTEN on `port`.
fn listening_sockets(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let same_port = u16::from_str_radix(local_port, 16) == Ok(port);
        if same_port && fields.get(3) == Some(&LISTEN) { fields.get(9)?.parse().ok() } else { None }
    };
    table.lines().skip(1).filter_map(socket).collect()
}

fn holds_one_of(pid: u32, sockets: &BTreeSet<u64>) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .any(|inode: u64| sockets.contains(&inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_a_command_with_parentheses() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 100 0 0";
        assert_eq!(cpu_of_stat(stat), Some(Duration::from_secs(3)));
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(rss_of_status("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(rss_of_status("Name:\tx\n"), None);
    }

    #[test]
    fn only_listening_sockets_of_the_port_are_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
            0: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 111 1\n\
            1: 0100007F:22B8 0100007F:9C40 01 00000000:00000000 00:00000000 00000000 0 0 222 1\n\
            2: 0100007F:22B9 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 333 1\n";
        assert_eq!(listening_sockets(table, 8888), [111]);
    }

    #[test]
    fn this_process_is_found_by_the_port_it_listens_on() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(find_listeners(port), [std::process::id()]);
        assert!(usage(&[std::process::id()]).unwrap().rss_bytes > 0);
    }
}
