//! The HTTP listener: connections, their limits and time-outs, and what is recorded of a request.
//!
//! [`listener`] accepts and refuses; [`connection`] drives one connection and cuts it when
//! [`activity`] says so, which [`io`] and [`request`] keep informed; [`request`] bounds one
//! request in time and hands it to the router; [`takeover`] keeps a connection counted that goes on
//! in another protocol; [`tls`] secures it; [`answers`] adds to every answer what all of them say.
//! Nothing here knows what the router serves.

pub(crate) mod activity;
pub(crate) mod answers;
pub(crate) mod connection;
pub(crate) mod gate;
pub(crate) mod io;
pub(crate) mod listener;
pub(crate) mod progress;
pub(crate) mod request;
pub(crate) mod takeover;
pub(crate) mod tls;
