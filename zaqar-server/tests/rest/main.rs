//! The REST transport over the reference driver and a clock that stands still: what clients rely
//! on, exchange by exchange.

#[cfg(test)]
mod support;

#[cfg(test)]
mod bodies;
#[cfg(test)]
mod broken;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod confirmations;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod cors;
#[cfg(test)]
mod deletions;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod encryption;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod flavors;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod patches;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod pool_health;
#[cfg(test)]
mod pools;
#[cfg(test)]
mod posts;
#[cfg(test)]
mod queue_lists;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod redrive;
#[cfg(test)]
mod shares;
#[cfg(test)]
mod signed;
#[cfg(test)]
mod subscription_lists;
#[cfg(test)]
mod subscriptions;
#[cfg(test)]
mod topics;
#[cfg(test)]
mod wire;
