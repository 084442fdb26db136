//! The notifier over the reference driver, with receivers that answer, fail, hang and redirect.

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod confirmations;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod mails;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod secured;
#[cfg(test)]
mod sink;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod trusts;
#[cfg(test)]
mod world;
