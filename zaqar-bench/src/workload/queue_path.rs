//! Prepared requests in which only the queue's number changes.

use crate::run::Context;

/// Digits at the end of a queue's name.
const DIGITS: usize = 4;

/// A request whose path holds a queue name at a known place.
#[derive(Debug)]
pub(super) struct QueueRequest {
    bytes: Vec<u8>,
    digits_at: Option<usize>,
}

impl QueueRequest {
    /// Prepares a request on `/v2/queues/{queue}{suffix}`.
    pub(super) fn new(context: &Context, method: &str, suffix: &str, body: Option<&[u8]>) -> Self {
        let name = context.queue_name(0);
        let path = format!("/v2/queues/{name}{suffix}");
        let bytes = context.target.request(method, &path, body);
        let digits_at = memchr::memmem::find(&bytes, name.as_bytes())
            .map(|at| at + name.len().saturating_sub(DIGITS));
        Self { bytes, digits_at }
    }

    /// The request for a queue.
    pub(super) fn on(&mut self, queue: u32) -> &mut [u8] {
        let digits = self.digits_at.and_then(|at| self.bytes.get_mut(at..at + DIGITS));
        let mut rest = queue;
        for digit in digits.unwrap_or_default().iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::context;

    #[test]
    fn only_the_queue_number_changes() {
        let context = context(1000);
        let mut request = QueueRequest::new(&context, "GET", "/stats", None);
        let first = String::from_utf8(request.on(7).to_vec()).unwrap();
        let second = String::from_utf8(request.on(998).to_vec()).unwrap();
        let name = |queue| format!("/v2/queues/{}/stats ", context.queue_name(queue));
        assert!(first.contains(&name(7)), "{first}");
        assert_eq!(first.replace(&name(7), &name(998)), second);
    }
}
