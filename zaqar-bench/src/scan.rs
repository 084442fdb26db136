//! Finding message ids, stamps and the next page in an answer without parsing it as JSON.
//!
//! Message bodies in an answer are the ones this program posted, so two byte searches find all
//! there is to know: `/messages/` occurs only in message links, the stamp mark only in bodies,
//! and `/messages?` only in the link to the next page.

use std::ops::Range;

use memchr::memmem::{Finder, FinderRev};

use crate::message::{STAMP_MARK, Shape, Stamp};

const ITEM_PATH: &[u8] = b"/messages/";
const PAGE_PATH: &[u8] = b"/messages?";

/// One message of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where the message's link lies in the answer, claim id included.
    pub href: Range<usize>,
    /// Where the id lies in the answer.
    pub id: Range<usize>,
    /// Its stamp; `None` when the body is damaged or not of this run.
    pub stamp: Option<Stamp>,
}

/// Prepared searches, and the items of the last answer.
#[derive(Debug)]
pub struct Scanner {
    shape: Shape,
    item: Finder<'static>,
    mark: Finder<'static>,
    page: FinderRev<'static>,
    items: Vec<Item>,
}

impl Scanner {
    /// A scanner for bodies of `shape`.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            item: Finder::new(ITEM_PATH),
            mark: Finder::new(STAMP_MARK),
            page: FinderRev::new(PAGE_PATH),
            items: Vec::new(),
        }
    }

    /// The messages of an answer, in its order.
    ///
    /// A link without a body, or a body without a link, becomes an item without a stamp.
    pub fn items(&mut self, body: &[u8]) -> &[Item] {
        self.items.clear();
        let mut marks = self.mark.find_iter(body);
        for at in self.item.find_iter(body) {
            let id_start = at + ITEM_PATH.len();
            let start = before_quote(body, at);
            let end = after_quote(body, id_start);
            let id_end = find_from(body, id_start, end, b'?').unwrap_or(end);
            let after_mark = marks.next().and_then(|mark| body.get(mark + STAMP_MARK.len()..));
            let stamp = after_mark.and_then(|after| self.shape.read(after));
            self.items.push(Item { href: start..end, id: id_start..id_end, stamp });
        }
        for _ in marks {
            self.items.push(Item { href: 0..0, id: 0..0, stamp: None });
        }
        &self.items
    }

    /// The items found last.
    #[must_use]
    pub fn last_items(&self) -> &[Item] {
        &self.items
    }

    /// Number of message links, as in the answer to a post.
    #[must_use]
    pub fn count_links(&self, body: &[u8]) -> usize {
        self.item.find_iter(body).count()
    }

    /// The link to the next page.
    #[must_use]
    pub fn next_page<'a>(&self, body: &'a [u8]) -> Option<&'a [u8]> {
        let at = self.page.rfind(body)?;
        body.get(before_quote(body, at)..after_quote(body, at))
    }
}

fn before_quote(body: &[u8], at: usize) -> usize {
    let before = body.get(..at).unwrap_or_default();
    memchr::memrchr(b'"', before).map_or(0, |quote| quote + 1)
}

fn after_quote(body: &[u8], at: usize) -> usize {
    find_from(body, at, body.len(), b'"').unwrap_or(body.len())
}

fn find_from(body: &[u8], start: usize, end: usize, byte: u8) -> Option<usize> {
    memchr::memchr(byte, body.get(start..end)?).map(|found| start + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::PostBody;

    fn body_text(shape: &Shape, sequence: u64) -> String {
        let post = PostBody::new(shape, 1, 60);
        let mut request = post.bytes().to_vec();
        post.stamp(&mut request, Stamp { producer: 3, sequence, sent_us: 5 });
        let value: serde_json::Value = serde_json::from_slice(&request).unwrap();
        value["messages"][0]["body"].to_string()
    }

    fn texts<'a>(scanner: &Scanner, answer: &'a str) -> Vec<(&'a str, &'a str, Option<u64>)> {
        let item = |item: &Item| {
            let (href, id) = (&answer[item.href.clone()], &answer[item.id.clone()]);
            (href, id, item.stamp.map(|stamp| stamp.sequence))
        };
        scanner.last_items().iter().map(item).collect()
    }

    #[test]
    fn items_are_found_in_either_field_order_and_spacing() {
        let shape = Shape::new("00000001", 90, 1).unwrap();
        let (first, second) = (body_text(&shape, 8), body_text(&shape, 9));
        let answer = format!(
            "{{\"messages\": [{{\"id\": \"a1\", \"href\": \"/v2/queues/q/messages/a1?claim_id=c\", \
             \"body\": {first}}},{{\"body\":{second},\"href\":\"/v2/queues/q/messages/b2\"}}]}}"
        );
        let mut scanner = Scanner::new(shape);
        scanner.items(answer.as_bytes());
        let expected = [
            ("/v2/queues/q/messages/a1?claim_id=c", "a1", Some(8)),
            ("/v2/queues/q/messages/b2", "b2", Some(9)),
        ];
        assert_eq!(texts(&scanner, &answer), expected);
    }

    #[test]
    fn a_link_without_its_body_has_no_stamp() {
        let mut scanner = Scanner::new(Shape::new("00000001", 90, 1).unwrap());
        let answer = "{\"messages\": [{\"href\": \"/v2/queues/q/messages/a1\", \"body\": {}}]}";
        scanner.items(answer.as_bytes());
        assert_eq!(texts(&scanner, answer), [("/v2/queues/q/messages/a1", "a1", None)]);
    }

    #[test]
    fn the_next_page_is_the_link_with_a_query() {
        let scanner = Scanner::new(Shape::new("00000001", 90, 1).unwrap());
        let answer = b"{\"messages\": [{\"href\": \"/v2/queues/q/messages/a1\"}], \"links\": \
            [{\"rel\": \"next\", \"href\": \"/v2/queues/q/messages?limit=2&marker=7\"}]}";
        let next = scanner.next_page(answer).unwrap();
        assert_eq!(next, b"/v2/queues/q/messages?limit=2&marker=7");
        assert_eq!(scanner.next_page(b"{\"messages\": [], \"links\": []}"), None);
        assert_eq!(scanner.count_links(answer), 1);
    }
}
