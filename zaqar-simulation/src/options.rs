//! The command line.

use std::path::PathBuf;

use clap::Parser;
use serde::Serialize;

/// Simulates many queues on many pools behind many web heads.
#[derive(Debug, Clone, Parser, Serialize)]
#[command(name = "zaqar-simulation", version)]
pub struct Options {
    /// What all draws follow from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Queues
    #[arg(long, default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    pub queues: u32,

    /// Pools
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=2_000))]
    pub pools: u32,

    /// Web heads
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=2_000))]
    pub heads: u32,

    /// Requests a second to all heads, each to any of them
    #[arg(long, default_value = "100000", value_parser = positive)]
    pub requests_per_s: f64,

    /// How unequally requests are shared out: the share of the queue of rank n is as n^-this
    #[arg(long, default_value = "1", value_parser = exponent)]
    pub zipf: f64,

    /// How long a head remembers what it knows of a queue (cache.queue_ttl_ms)
    #[arg(long, default_value_t = 5_000,
        value_parser = clap::value_parser!(u32).range(100..=3_600_000))]
    pub queue_ttl_ms: u32,

    /// How long one read of the control plane takes, in microseconds
    #[arg(long, default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub control_read_us: u32,

    /// Mean life of a queue, in hours
    #[arg(long, default_value = "24", value_parser = positive)]
    pub queue_life_h: f64,

    /// What a queue holds on average, in KiB
    #[arg(long, default_value = "1024", value_parser = positive)]
    pub queue_kib: f64,

    /// Queues that are moved at a time
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub movers: u32,

    /// Queues that are moved out of or into one pool at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub moves_per_pool: u32,

    /// MiB a second that one mover copies
    #[arg(long, default_value = "20", value_parser = positive)]
    pub mover_mib_per_s: f64,

    /// What a move takes besides copying, in milliseconds
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=3_600_000))]
    pub move_overhead_ms: u32,

    /// Furthest that a pool may be from its fair share once queues were moved, in percent
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub spread_percent: u32,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub json: Option<PathBuf>,
}

impl Options {
    /// How long a head remembers a queue, in seconds.
    #[must_use]
    pub fn ttl_s(&self) -> f64 {
        f64::from(self.queue_ttl_ms) / 1_000.0
    }

    /// How long a head takes to find a queue that it does not know, in seconds.
    #[must_use]
    pub fn resolve_s(&self) -> f64 {
        crate::head::READS * f64::from(self.control_read_us) / 1_000_000.0
    }

    /// Queues made, and deleted, in a second.
    #[must_use]
    pub fn creates_per_s(&self) -> f64 {
        f64::from(self.queues) / (self.queue_life_h * 3_600.0)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && f64::is_finite(number) => Ok(number),
        _ => Err("must be a number above 0".to_owned()),
    }
}

fn exponent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.0..=3.0).contains(&number) => Ok(number),
        _ => Err("must be a number from 0 to 3".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn nonsense_values_are_refused() {
        for argument in [
            "--queues=0",
            "--pools=1",
            "--heads=1",
            "--zipf=-1",
            "--zipf=NaN",
            "--queue-kib=0",
            "--requests-per-s=inf",
            "--movers=0",
        ] {
            assert!(Options::try_parse_from(["zaqar-simulation", argument]).is_err(), "{argument}");
        }
    }
}
