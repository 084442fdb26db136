//! What a rule may ask about the caller besides its roles.

use crate::Identity;

/// A fact of the caller that a rule may compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallerFact {
    UserId,
    ProjectId,
    UserDomainId,
    ProjectDomainId,
    SystemScope,
}

const FACTS: [(&str, CallerFact); 5] = [
    ("user_id", CallerFact::UserId),
    ("project_id", CallerFact::ProjectId),
    ("user_domain_id", CallerFact::UserDomainId),
    ("project_domain_id", CallerFact::ProjectDomainId),
    ("system_scope", CallerFact::SystemScope),
];

impl CallerFact {
    pub(super) fn named(name: &str) -> Option<Self> {
        FACTS.iter().find(|(known, _)| *known == name).map(|(_, fact)| *fact)
    }

    pub(super) fn names() -> [&'static str; FACTS.len()] {
        FACTS.map(|(name, _)| name)
    }

    pub(super) fn name(self) -> &'static str {
        FACTS.iter().find(|(_, fact)| *fact == self).map_or("", |(name, _)| name)
    }

    pub(super) fn of(self, identity: &Identity) -> Option<&str> {
        match self {
            Self::UserId => identity.user.as_deref(),
            Self::ProjectId => Some(identity.project.as_str()),
            Self::UserDomainId => identity.user_domain.as_deref(),
            Self::ProjectDomainId => identity.project_domain.as_deref(),
            Self::SystemScope => identity.system_scope.as_deref(),
        }
    }
}
