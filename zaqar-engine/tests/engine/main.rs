//! The engine over the reference driver, with a script that fails or holds chosen calls; and over
//! SQLite, as an embedder has it.

#[cfg(test)]
mod claims;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod encryption;
#[cfg(test)]
mod fence;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod maintenance;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod pools;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod redrive;
#[cfg(test)]
mod registry;
#[cfg(test)]
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(test)]
mod stages;
#[cfg(test)]
mod statistics;
#[cfg(test)]
mod subscriptions;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod watch;
#[cfg(test)]
mod world;
