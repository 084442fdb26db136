//! The data plane: heads, messages, claims, upkeep; what the driver cannot do is refused in
//! [`refused`].

mod claims;
mod heads;
mod messages;
mod refused;
mod takes;
mod upkeep;
