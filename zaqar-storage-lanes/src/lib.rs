#![doc = include_str!("../README.md")]

mod answer;
mod detach;
mod gate;
mod lanes;
mod limits;
mod room;
#[cfg(test)]
mod tests;

pub use gate::{Gate, Party, Permit};
pub use lanes::{LaneStep, Lanes};
pub use limits::{LaneLimits, Weight};
