//! The notifier over the reference driver, with receivers that answer, fail, hang and redirect.

#[cfg(test)]
mod confirmations;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod mails;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod world;
