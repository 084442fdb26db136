//! Posting batches of stamped messages.

use std::time::Instant;

use super::queue_path::QueueRequest;
use crate::http::ErrorClass;
use crate::measure::Op;
use crate::message::{PostBody, Stamp};
use crate::run::{Context, Reply, Session};
use crate::scan::Scanner;

/// A prepared post.
#[derive(Debug)]
pub(super) struct Poster {
    body: PostBody,
    request: QueueRequest,
    scanner: Scanner,
    batch: usize,
}

impl Poster {
    /// Prepares posts of `batch` messages.
    pub(super) fn new(context: &Context, batch: usize) -> Self {
        let body = PostBody::new(&context.shape, batch, context.options.ttl);
        let request = QueueRequest::new(context, "POST", "/messages", Some(body.bytes()));
        Self { body, request, scanner: Scanner::new(context.shape.clone()), batch }
    }

    /// Posts the next batch of this session to a queue; true when it was acknowledged.
    pub(super) async fn post(
        &mut self,
        session: &mut Session,
        op: Op,
        queue: u32,
        started: Instant,
    ) -> bool {
        let producer = session.context.producer(session.index, queue);
        let count = self.batch as u64;
        let first = session.context.ledger().post_begin(producer, count);
        let sent_us = session.context.micros(started);
        let request = self.request.on(queue);
        self.body.stamp(request, Stamp { producer, sequence: first, sent_us });
        let mut reply = session.call(op, started, request, &[201]).await;
        if matches!(reply, Reply::Done(_)) && self.scanner.count_links(session.body()) != self.batch
        {
            // Created, yet not as many as were sent: what exists shows at the end.
            session.fail(ErrorClass::Protocol);
            reply = Reply::Unsure;
        }
        let mut ledger = session.context.ledger();
        match reply {
            Reply::Done(_) => return true,
            Reply::Refused => ledger.post_refused(producer, first, count),
            Reply::Unsure => ledger.post_unsure(producer, first, count),
        }
        false
    }
}
