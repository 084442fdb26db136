//! Walking through a queue's listing, page by page.

use std::time::Instant;

use super::queue_path::QueueRequest;
use crate::check::Walk;
use crate::measure::Op;
use crate::run::{Context, Reply, Session};
use crate::scan::Scanner;

/// How a walk ended.
#[derive(Debug)]
pub(super) enum Walked {
    /// At the end of the queue.
    Whole(Walk),
    /// Before: time was up.
    Cut(Walk),
    /// The server did not answer for too long.
    Failed,
}

/// A reader of whole queues.
#[derive(Debug)]
pub(super) struct Walker {
    first: QueueRequest,
    scanner: Scanner,
    request: Vec<u8>,
}

impl Walker {
    /// A reader that also sees its own and claimed messages.
    pub(super) fn new(context: &Context) -> Self {
        let page = context.options.page;
        let suffix = format!("/messages?limit={page}&echo=true&include_claimed=true");
        Self {
            first: QueueRequest::new(context, "GET", &suffix, None),
            scanner: Scanner::new(context.shape.clone()),
            request: Vec::new(),
        }
    }

    /// Walks from the front of a queue until an empty page, or until `until`.
    pub(super) async fn walk(
        &mut self,
        session: &mut Session,
        op: Op,
        queue: u32,
        until: Option<Instant>,
    ) -> Walked {
        let mut walk = Walk::new(session.context.queues, queue);
        self.request.clear();
        self.request.extend_from_slice(self.first.on(queue));
        loop {
            let started = Instant::now();
            if until.is_some_and(|until| started >= until) {
                return Walked::Cut(walk);
            }
            let reply = session.call(op, started, &self.request, &[200]).await;
            if !matches!(reply, Reply::Done(_)) {
                if session.gives_up() {
                    return Walked::Failed;
                }
                continue;
            }
            let body = session.body();
            let items = self.scanner.items(body);
            let count = items.len();
            items.iter().for_each(|item| walk.meet(item.stamp));
            session.count_messages(count);
            // A page may be short without being the last; only an empty one ends the queue.
            let (true, Some(next)) = (count > 0, self.scanner.next_page(body)) else {
                return Walked::Whole(walk);
            };
            session.context.target.request_into(&mut self.request, "GET", next, None);
        }
    }
}
