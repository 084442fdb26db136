//! Deletes and purges.

use zaqar_core::{ClaimId, Error, LeaseId, MessageId, QueueRef, Result, Timestamp};

use crate::codec::moment;
use crate::driver::RedisData;
use crate::keys::Place;
use crate::registry::{DELETE, PURGE};
use crate::store::{Answer, Call, queue_text};

/// Under which condition messages may go.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// One message, free.
    Free,
    /// One message, under this live claim.
    HeldBy(ClaimId),
    /// Any messages, claimed ones too.
    Any,
    /// Messages that are all under one of these live claims.
    AllHeldBy(Vec<ClaimId>),
}

impl Rule {
    fn word(&self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::HeldBy(_) => "held",
            Self::Any => "any",
            Self::AllHeldBy(_) => "all",
        }
    }

    fn claims(&self) -> &[ClaimId] {
        match self {
            Self::Free | Self::Any => &[],
            Self::HeldBy(claim) => std::slice::from_ref(claim),
            Self::AllHeldBy(claims) => claims,
        }
    }
}

/// A message broke the rule.
const BROKEN: i64 = 7;

/// How scripts are told which message is meant: by its place, or by the id that it came with.
pub(crate) fn id_argument(queue: &QueueRef, id: MessageId) -> String {
    if id.incarnation() == queue.incarnation { id.sequence().to_string() } else { format!("f{id}") }
}

impl RedisData {
    pub(crate) async fn remove(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        ids: Vec<MessageId>,
        rule: Rule,
    ) -> Result<()> {
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let places: Vec<String> = ids.iter().map(|id| id_argument(queue, *id)).collect();
        let asked = rule.clone();
        let call = Call {
            operation,
            script: &DELETE,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now)).arg(incarnation);
                command.arg(asked.word()).arg(asked.claims().len());
                for claim in asked.claims() {
                    command.arg(claim.as_bytes());
                }
                for place in &places {
                    command.arg(place);
                }
            },
        };
        let answer = self.store.write(Some(&queue.key.project), call).await?;
        if answer.code == BROKEN {
            return Err(broken(answer, &ids, &rule));
        }
        answer.done(queue).map(drop)
    }

    pub(crate) async fn purge(&self, queue: &QueueRef) -> Result<()> {
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let trash = LeaseId::random().to_string();
        let call = Call {
            operation: "message_purge",
            script: &PURGE,
            place: Place::queue(queue.incarnation).with_trash(&trash),
            writes: true,
            arguments: move |command: &mut redis::Cmd, _| {
                command.arg(&text).arg(incarnation).arg(&trash);
            },
        };
        self.store.write(Some(&queue.key.project), call).await?.done(queue).map(drop)
    }
}

fn broken(answer: Answer, ids: &[MessageId], rule: &Rule) -> Error {
    let mut reply = answer.reply;
    let at = reply.number("answer").ok().and_then(|at| usize::try_from(at).ok());
    let id = at.and_then(|at| ids.get(at)).copied();
    let how = reply.int("answer");
    match (id, how, rule.claims().first()) {
        (Some(id), Ok(0), _) => Error::MessageClaimed { id },
        (Some(id), Ok(2), Some(claim)) => Error::MessageNotClaimedBy { id, claim: *claim },
        (Some(id), Ok(_), _) => Error::MessageNotClaimed { id },
        _ => reply.damaged("answer"),
    }
}
