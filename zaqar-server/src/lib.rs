//! The Zaqar server: REST v2 over any storage driver that the build has.
//!
//! `zaqar-server` without arguments serves on 127.0.0.1:8888 and keeps its data in a file that it
//! names. As a library: [`serve::start`] runs the whole server inside another program or a test,
//! from a [`config::Config`].
//!
//! - [`config`]: the options, their layers, sample and import
//! - [`cli`]: the command line
//! - [`auth`]: how callers are known
//! - [`rest`]: the REST transport; [`signed_url`]: what it signs
//! - [`websocket`]: the WebSocket transport
//! - [`limits`]: how often projects may ask
//! - [`serve`]: listeners, store, engine and router put together
//! - [`stages`]: layers around the message store, a program's own ones too
//! - [`telemetry`]: logs and metrics

mod admin;
mod assemble;
pub mod auth;
mod banner;
#[cfg(feature = "check")]
mod check;
pub mod cli;
pub mod config;
mod data_file;
#[cfg(test)]
mod fuzz;
pub mod limits;
mod migrate;
mod notifications;
mod policy;
pub mod rest;
pub mod serve;
mod server;
pub mod signed_url;
mod socket_lease;
pub mod stages;
pub mod telemetry;
mod tls;
pub mod websocket;
