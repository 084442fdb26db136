//! Real database servers for tests: install, start, kill, restart, fail over.
//!
//! - [`uri`] says where the servers are that all tests of a build folder share: the environment
//!   names them, or `cargo xtask services up` started them ([`Shared`]).
//! - [`Backend`] starts servers for one test alone, which may then kill, freeze and restart them.
//!   They end with the process of the test, however that ends.
//! - [`Disk`] is a small disk for such a server, or for a file, which can be full.
//! - [`Proxy`] stands between a client and such a server and cuts their connections.
//! - [`install`] gets the servers' programs onto a Debian machine, [`install_browser`] a browser.
//!
//! Everything starts at settings that lose nothing; a test that wants others gives
//! [`Options::arguments`]. This crate knows no driver and no suite: tests tie them together.

mod backend;
mod bson;
mod disk;
mod install;
mod mariadb;
mod mongod;
mod port;
mod postgres;
mod process;
mod procfs;
mod proxy;
mod redis;
mod scratch;
mod server;
mod service;
mod shared;
mod state;

pub use backend::{Backend, Options};
pub use disk::Disk;
pub use install::{find_browser, install, install_browser, install_haproxy, is_installed};
pub use port::free as free_port;
pub use procfs::Identity;
pub use proxy::{Cut, Fired, Proxy};
pub use service::{Service, installed_unless_absent, services_folder, uri, uri_unless_absent};
pub use shared::{Shared, Status};
pub use state::{Entry, Member, State};
