//! Both transports with Keystone on, in front of a stub of it.

#[cfg(test)]
#[path = "../../../zaqar-auth/tests/keystone/stub.rs"]
mod stub;
#[cfg(test)]
mod world;

#[cfg(test)]
mod rest;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod trusts;
