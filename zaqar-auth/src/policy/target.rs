//! What a request is about, as far as policies ask.

use zaqar_core::ProjectId;

/// What a request is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target<'t> {
    /// Whose it is; `None` for what belongs to the whole service.
    pub project: Option<&'t ProjectId>,
    /// The queue that is named, if one is.
    pub queue: Option<&'t str>,
    /// The topic that is named, if one is.
    pub topic: Option<&'t str>,
}

impl<'t> Target<'t> {
    /// Something of that project.
    #[must_use]
    pub fn of_project(project: &'t ProjectId) -> Self {
        Self { project: Some(project), ..Self::default() }
    }

    /// The same, in that queue.
    #[must_use]
    pub fn queue(self, name: &'t str) -> Self {
        Self { queue: Some(name), ..self }
    }

    /// The same, in that topic.
    #[must_use]
    pub fn topic(self, name: &'t str) -> Self {
        Self { topic: Some(name), ..self }
    }
}

/// A fact of a target that a rule may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetFact {
    ProjectId,
    QueueName,
    TopicName,
}

const FACTS: [(&str, TargetFact); 3] = [
    ("project_id", TargetFact::ProjectId),
    ("queue_name", TargetFact::QueueName),
    ("topic_name", TargetFact::TopicName),
];

impl TargetFact {
    pub(super) fn named(name: &str) -> Option<Self> {
        FACTS.iter().find(|(known, _)| *known == name).map(|(_, fact)| *fact)
    }

    pub(super) fn names() -> [&'static str; FACTS.len()] {
        FACTS.map(|(name, _)| name)
    }

    pub(super) fn of<'t>(self, target: &Target<'t>) -> Option<&'t str> {
        match self {
            Self::ProjectId => target.project.map(ProjectId::as_str),
            Self::QueueName => target.queue,
            Self::TopicName => target.topic,
        }
    }
}
