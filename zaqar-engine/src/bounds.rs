//! The ranges of what a request may ask for, and the texts that say so.

use std::time::Duration;

use zaqar_core::{PageLimit, Ttl};

use crate::config::EngineConfig;
use crate::error::{EngineError, EngineResult};

/// The shortest life of a message, a claim, a grace and a subscription, in seconds.
pub(crate) const TTL_S_MIN: u64 = 60;

/// Messages of a claim when the request does not say.
const CLAIM_LIMIT_DEFAULT: u64 = 10;

impl EngineConfig {
    pub(crate) fn message_ttl_checked(&self, ttl: u64) -> EngineResult<Ttl> {
        let max = self.limits.message_ttl_max;
        within(ttl, TTL_S_MIN, max).ok_or_else(|| {
            EngineError::rejected(format!(
                "The TTL for a message may not exceed {max} seconds, and must be at least \
                 {TTL_S_MIN} seconds long."
            ))
        })
    }

    pub(crate) fn message_delay_checked(&self, delay: u64) -> EngineResult<Ttl> {
        let max = self.limits.message_delay_max;
        within(delay, 0, max).ok_or_else(|| {
            // The missing blank is part of the text that clients know.
            EngineError::rejected(format!(
                "The Delay TTL for a message may not exceed {max} seconds,and must be at least 0 \
                 seconds long."
            ))
        })
    }

    pub(crate) fn claim_ttl_checked(&self, ttl: Option<u64>) -> EngineResult<Ttl> {
        let max = self.limits.claim_ttl_max;
        within(ttl.unwrap_or(self.defaults.claim_ttl), TTL_S_MIN, max).ok_or_else(|| {
            EngineError::rejected(format!(
                "The TTL for a claim may not exceed {max} seconds, and must be at least \
                 {TTL_S_MIN} seconds long."
            ))
        })
    }

    pub(crate) fn claim_grace_checked(&self, grace: Option<u64>) -> EngineResult<Ttl> {
        let max = self.limits.claim_grace_max;
        within(grace.unwrap_or(self.defaults.claim_grace), TTL_S_MIN, max).ok_or_else(|| {
            EngineError::rejected(format!(
                "The grace for a claim may not exceed {max} seconds, and must be at least \
                 {TTL_S_MIN} seconds long."
            ))
        })
    }

    pub(crate) fn claim_limit_checked(&self, limit: Option<u64>) -> EngineResult<PageLimit> {
        let max = self.limits.messages_per_claim_or_pop_max;
        page_limit(limit.unwrap_or(CLAIM_LIMIT_DEFAULT.min(max)), max).ok_or_else(|| {
            EngineError::rejected(format!(
                "Limit must be at least 1 and may not be greater than {max}."
            ))
        })
    }

    /// How many messages one call of a redrive looks at: as many as a page may hold, unless it asks
    /// for less; and of how many ids it may be about.
    pub(crate) fn redrive_limit_checked(
        &self,
        limit: Option<u64>,
        ids: Option<u64>,
    ) -> EngineResult<PageLimit> {
        let max = self.limits.messages_per_page_max;
        if ids.is_some_and(|ids| ids == 0 || ids > max) {
            let message = format!("ids must be at least 1 and may not be more than {max}.");
            return Err(EngineError::rejected(message));
        }
        page_limit(limit.unwrap_or(max), max).ok_or_else(|| {
            EngineError::rejected(format!(
                "limit must be at least 1 and may not be greater than {max}."
            ))
        })
    }

    pub(crate) fn wait_checked(&self, wait: u64) -> EngineResult<Duration> {
        let max = self.limits.wait_max;
        if wait > max {
            return Err(EngineError::rejected(format!(
                "Wait must be at least 0 and may not be greater than {max}."
            )));
        }
        Ok(Duration::from_secs(wait))
    }

    pub(crate) fn pop_limit_checked(&self, limit: u64) -> EngineResult<PageLimit> {
        let max = self.limits.messages_per_claim_or_pop_max;
        page_limit(limit, max).ok_or_else(|| {
            EngineError::rejected(format!(
                "Pop value must be at least 1 and may not be greater than {max}."
            ))
        })
    }

    pub(crate) fn messages_per_post_checked(&self, messages: usize) -> EngineResult<()> {
        let max = self.limits.messages_per_post_max;
        match u64::try_from(messages).unwrap_or(u64::MAX) {
            // Sic: clients know this text.
            0 => Err(EngineError::rejected("No messages to enqueu.")),
            count if count > max => {
                Err(EngineError::rejected(format!("The number of messages may not exceed {max}.")))
            }
            _ => Ok(()),
        }
    }
}

fn within(seconds: u64, min: u64, max: u64) -> Option<Ttl> {
    if (min..=max).contains(&seconds) { Ttl::from_secs(seconds).ok() } else { None }
}

fn page_limit(items: u64, max: u64) -> Option<PageLimit> {
    if items > max {
        return None;
    }
    u32::try_from(items).ok().and_then(|items| PageLimit::new(items).ok())
}
