//! Claiming messages and deleting them, one by one or in bulk.

use std::ops::Range;
use std::time::Instant;

use super::queue_path::QueueRequest;
use crate::check::Order;
use crate::measure::Op;
use crate::message::Stamp;
use crate::run::{Context, Reply, Session};
use crate::scan::Scanner;

/// How claimed messages are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteMode {
    /// One request for all messages of a claim, by id.
    Bulk,
    /// A request for each message, by its link with the claim id.
    Single,
}

/// One consumer: what it claims is checked and can then be deleted.
#[derive(Debug)]
pub(super) struct Consumer {
    claim: QueueRequest,
    scanner: Scanner,
    order: Order,
    mode: DeleteMode,
    paths: Vec<u8>,
    pending: Vec<(Range<usize>, Stamp)>,
    request: Vec<u8>,
}

impl Consumer {
    /// A consumer that claims up to `batch` messages at a time.
    pub(super) fn new(context: &Context, batch: usize, mode: DeleteMode) -> Self {
        let ttl = context.options.claim_ttl;
        let body = format!("{{\"ttl\":{ttl},\"grace\":60}}");
        let suffix = format!("/claims?limit={batch}");
        Self {
            claim: QueueRequest::new(context, "POST", &suffix, Some(body.as_bytes())),
            scanner: Scanner::new(context.shape.clone()),
            order: Order::default(),
            mode,
            paths: Vec::new(),
            pending: Vec::new(),
            request: Vec::new(),
        }
    }

    /// Claims once; answers how many messages came, or `None` when the claim failed.
    ///
    /// The latency is recorded under `op`, or as an empty claim.
    pub(super) async fn claim(
        &mut self,
        session: &mut Session,
        op: Op,
        queue: u32,
        started: Instant,
    ) -> Option<usize> {
        self.pending.clear();
        self.paths.clear();
        // Counted without a latency first: only the answer tells which kind of claim it was.
        let reply =
            session.call(Op::Housekeeping, started, self.claim.on(queue), &[201, 204, 200]).await;
        if !matches!(reply, Reply::Done(_)) {
            return None;
        }
        let body = session.body();
        let items = self.scanner.items(body);
        let count = items.len();
        let mut ledger = session.context.ledger();
        for item in items {
            ledger.claimed(queue, item.stamp, &mut self.order);
            let path = match self.mode {
                DeleteMode::Bulk => item.id.clone(),
                DeleteMode::Single => item.href.clone(),
            };
            if let (Some(stamp), Some(path)) = (item.stamp, body.get(path)) {
                let start = self.paths.len();
                self.paths.extend_from_slice(path);
                self.pending.push((start..self.paths.len(), stamp));
                self.paths.push(b',');
            }
        }
        drop(ledger);
        session.span(if count == 0 { Op::ClaimEmpty } else { op }, started);
        Some(count)
    }

    /// The messages of the last claim that were not deleted yet.
    pub(super) fn pending(&self) -> impl Iterator<Item = Stamp> {
        self.pending.iter().map(|(_, stamp)| *stamp)
    }

    /// Deletes what the last claim delivered; the messages count as processed.
    pub(super) async fn delete(&mut self, session: &mut Session, op: Op, queue: u32) {
        match self.mode {
            DeleteMode::Bulk => self.delete_bulk(session, op, queue).await,
            DeleteMode::Single => self.delete_each(session, op).await,
        }
    }

    async fn delete_bulk(&mut self, session: &mut Session, op: Op, queue: u32) {
        let Some(ids) = self.paths.split_last().map(|(_, ids)| ids) else {
            return;
        };
        let name = session.context.queue_name(queue);
        let mut path = Vec::with_capacity(64 + ids.len());
        path.extend_from_slice(b"/v2/queues/");
        path.extend_from_slice(name.as_bytes());
        path.extend_from_slice(b"/messages?ids=");
        path.extend_from_slice(ids);
        session.context.target.request_into(&mut self.request, "DELETE", &path, None);
        let reply = session.call(op, Instant::now(), &self.request, &[204]).await;
        let all = 0..self.pending.len();
        self.settle(session, reply, all);
    }

    async fn delete_each(&mut self, session: &mut Session, op: Op) {
        for index in 0..self.pending.len() {
            let path = self.pending.get(index).and_then(|(path, _)| self.paths.get(path.clone()));
            let Some(path) = path else {
                return;
            };
            session.context.target.request_into(&mut self.request, "DELETE", path, None);
            let reply = session.call(op, Instant::now(), &self.request, &[204]).await;
            self.settle(session, reply, index..index + 1);
        }
    }

    fn settle(&self, session: &Session, reply: Reply, deleted: Range<usize>) {
        let stamps = self.pending.get(deleted).unwrap_or_default();
        let mut ledger = session.context.ledger();
        for (_, stamp) in stamps {
            match reply {
                Reply::Done(_) => ledger.delete_acked(*stamp),
                Reply::Unsure => ledger.delete_unsure(*stamp),
                Reply::Refused => {}
            }
        }
        drop(ledger);
        if matches!(reply, Reply::Done(_)) {
            session.count_messages(stamps.len());
        }
    }
}
