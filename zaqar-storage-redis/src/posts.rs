//! Posts, and messages that come from another queue.

use zaqar_core::limits::MESSAGES_PER_POST_MAX;
use zaqar_core::{
    Created, DeadLetterOrigin, Error, MessageId, MessageMarker, MovedMessage, NewMessage,
    PostMessages, Posted, QueueRef, Result, Timestamp, Ttl,
};

use crate::codec::{NUMBER_MAX, NewRecord, moment};
use crate::driver::RedisData;
use crate::keys::Place;
use crate::origins::pack_origin;
use crate::registry::{INSERT_MOVED, POST};
use crate::store::{Answer, Call, queue_text};

/// Longest text that a record's header has room for.
const TEXT_BYTES_MAX: usize = u16::MAX as usize;

impl RedisData {
    pub(crate) async fn post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        if messages.is_empty() || messages.len() > MESSAGES_PER_POST_MAX {
            let reason = format!("must be 1 to {MESSAGES_PER_POST_MAX}");
            return Err(Error::Invalid { field: "number of messages", reason });
        }
        for message in &messages {
            check_checksum(message.checksum.as_ref())?;
        }
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let call = Call {
            operation: "message_post",
            script: &POST,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now)).arg(incarnation).arg(NUMBER_MAX);
                match &options.key {
                    Some(key) => {
                        command.arg(key.key.as_str()).arg(&key.digest);
                        command.arg(moment(now.after(key.keep)));
                    }
                    None => {
                        command.arg("").arg("").arg("");
                    }
                }
                let client = options.client.as_ref().map_or("", |client| client.as_str());
                for message in &messages {
                    command.arg(record(message, client, now));
                }
            },
        };
        let answer = self.store.write(Some(&queue.key.project), call).await?;
        posted(queue, answer)
    }

    pub(crate) async fn insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        check_checksum(message.checksum.as_ref())?;
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let call = Call {
            operation: "message_insert_moved",
            script: &INSERT_MOVED,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                let id = message.id.to_string();
                let record = NewRecord {
                    body: message.body.as_str(),
                    ttl: message.ttl,
                    delay: Ttl::ZERO,
                    posted_at: message.posted_at,
                    client: "",
                    checksum: message.checksum.as_deref(),
                    origin: &id,
                };
                command.arg(&text).arg(moment(now)).arg(incarnation).arg(NUMBER_MAX);
                command.arg(&id).arg(record.pack(now)).arg(message.claim_count);
                command.arg(pack_origin(Some(&DeadLetterOrigin::of(&message, now))));
            },
        };
        let answer = self.store.write(Some(&queue.key.project), call).await?;
        let mut reply = answer.done(queue)?;
        let marker = MessageMarker::new(queue.incarnation, reply.number("position")?)?;
        let new = reply.int("position")? != 0;
        Ok(if new { Created::New(marker) } else { Created::Existing(marker) })
    }
}

/// Refuses a checksum that a record has no room for.
pub(crate) fn check_checksum(checksum: Option<&String>) -> Result<()> {
    match checksum {
        Some(checksum) if checksum.len() > TEXT_BYTES_MAX => {
            let reason = format!("must have at most {TEXT_BYTES_MAX} bytes");
            Err(Error::Invalid { field: "checksum", reason })
        }
        _ => Ok(()),
    }
}

fn record(message: &NewMessage, client: &str, now: Timestamp) -> Vec<u8> {
    let record = NewRecord {
        body: message.body.as_str(),
        ttl: message.ttl,
        delay: message.delay,
        posted_at: now,
        client,
        checksum: message.checksum.as_deref(),
        origin: "",
    };
    record.pack(now)
}

fn posted(queue: &QueueRef, answer: Answer) -> Result<Posted> {
    if answer.code == 3 {
        return Err(Error::IdempotencyConflict);
    }
    let mut reply = answer.done(queue)?;
    let (first, count) = (reply.number("position")?, reply.number("position")?);
    let repeated = reply.int("position")? != 0;
    let places = first..first.saturating_add(count);
    let ids: Result<Vec<MessageId>, _> =
        places.map(|position| MessageId::new(queue.incarnation, position)).collect();
    Ok(Posted { ids: ids?, repeated })
}
