//! The validation of tokens against a stub of Keystone's token API.

#[cfg(test)]
mod stub;
#[cfg(test)]
mod world;

#[cfg(test)]
mod logs;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod own_token;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod trusts;
