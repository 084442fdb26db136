//! The limits of the configuration, with what projects have of their own.

use std::collections::HashMap;

use zaqar_core::ProjectId;
use zaqar_engine::{Quota, Quotas};

use super::rates::{ProjectRates, Rate, RateSettings};
use crate::config::{Config, ProjectLimits};

/// How often projects may ask.
pub(crate) fn rates(config: &Config) -> RateSettings {
    RateSettings {
        all: project_rates(config, None),
        projects: each_own(config, |own| project_rates(config, Some(own))),
    }
}

fn project_rates(config: &Config, own: Option<&ProjectLimits>) -> ProjectRates {
    let all = &config.rates;
    let value = |name: &str, all: u32| match own.and_then(|own| own.get(name)) {
        Some(own) => u32::try_from(own).unwrap_or(u32::MAX),
        None => all,
    };
    let requests = Rate::new(
        value("requests_per_second", all.requests_per_second),
        value("requests_burst", all.requests_burst),
    );
    let messages = Rate::new(
        value("messages_per_second", all.messages_per_second),
        value("messages_burst", all.messages_burst),
    );
    // A smaller burst would refuse the largest posts for ever.
    let post_max = config.transport.max_messages_per_post;
    ProjectRates::new(requests, messages.map(|rate| rate.burst_at_least(post_max)))
}

/// What projects may hold.
pub(crate) fn quotas(config: &Config) -> Quotas {
    let mut quotas = Quotas::default();
    quotas.all = quota(config, None);
    quotas.projects = each_own(config, |own| quota(config, Some(own)));
    quotas
}

fn quota(config: &Config, own: Option<&ProjectLimits>) -> Quota {
    let all = &config.quotas;
    let value = |name: &str, all: u64| {
        Some(own.and_then(|own| own.get(name)).unwrap_or(all)).filter(|max| *max > 0)
    };
    let mut quota = Quota::default();
    quota.queues = value("queues", all.queues);
    quota.topics = value("topics", all.topics);
    quota.messages = value("messages", all.messages);
    quota.bytes = value("bytes", all.bytes);
    quota
}

fn each_own<T>(config: &Config, read: impl Fn(&ProjectLimits) -> T) -> HashMap<ProjectId, T> {
    let each = config.project_limits.iter();
    each.filter_map(|(id, own)| Some((ProjectId::new(id).ok()?, read(own)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn a_project_has_what_is_set_for_it_and_else_what_all_have() {
        let text = "[limits.rates]\nrequests_per_second = 10\nmessages_per_second = 5\n\
                    [limits.quotas]\nqueues = 3\nbytes = 1000\n\
                    [limits.projects.rich]\nrequests_per_second = 0\nqueues = 9\nbytes = 0\n\
                    [limits.projects.\"a.b\"]\nrequests_burst = 20\n";
        let config = Layers::new().text("zaqar.toml", text).unwrap().load().unwrap();
        let (rates, quotas) = (rates(&config), quotas(&config));
        let of = |name: &str| ProjectId::new(name).unwrap();
        let messages = Rate::new(5, 1_000);
        assert_eq!(rates.all, ProjectRates::new(Rate::new(10, 0), messages));
        assert_eq!(rates.projects[&of("rich")], ProjectRates::new(None, messages));
        assert_eq!(rates.projects[&of("a.b")], ProjectRates::new(Rate::new(10, 20), messages));
        let rich = quotas.of(&of("rich"));
        assert_eq!((rich.queues, rich.bytes, rich.messages), (Some(9), None, None));
        assert_eq!(quotas.of(&of("a.b")), &quotas.all);
        assert_eq!((quotas.all.queues, quotas.all.bytes), (Some(3), Some(1_000)));
    }
}
