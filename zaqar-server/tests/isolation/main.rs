//! Tenants are apart, whatever one knows of the other: on every backend, through every route and
//! every WebSocket action.
//!
//! An attacker knows the exact queue names, message, claim and subscription ids, markers and signed
//! URLs of another project, and uses the same client id. Beside it somebody in the same position asks
//! for things that never were: both must get the same answers, and the victim keeps all that it had.

#[cfg(test)]
mod answers;
#[cfg(test)]
#[path = "../support/client.rs"]
mod client;
#[cfg(test)]
mod pushes;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod rest_requests;
#[cfg(test)]
mod server;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod sockets_requests;
#[cfg(test)]
#[path = "../support/stores.rs"]
mod stores;
#[cfg(test)]
mod tenant;
#[cfg(test)]
mod things;
#[cfg(test)]
mod victim;
