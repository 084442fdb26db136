//! The head of an answer and where its body lies in the read buffer.

use std::fmt;
use std::ops::Range;

/// Longest answer that is read; beyond it the connection is given up.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Most header lines understood in one answer.
const HEADERS_MAX: usize = 64;

/// Why a request has no usable answer, or an answer that was not expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorClass {
    /// No connection: the request was certainly not sent.
    Connect,
    /// No complete answer in time.
    Timeout,
    /// The connection broke after the request was (perhaps partly) sent.
    Broken,
    /// The bytes that came back are not an HTTP/1.1 answer that can be read.
    Protocol,
    /// A message whose post was acknowledged could not be claimed yet.
    NotYetVisible,
    /// An answer with a status that the workload did not expect.
    Status(u16),
}

impl ErrorClass {
    /// True when the request certainly had no effect on the server.
    #[must_use]
    pub fn had_no_effect(self) -> bool {
        matches!(self, Self::Connect | Self::Status(400..=499))
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Timeout => f.write_str("timeout"),
            Self::Broken => f.write_str("broken connection"),
            Self::Protocol => f.write_str("unreadable answer"),
            Self::NotYetVisible => f.write_str("acknowledged but not claimable"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

/// An answer read to its end.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// Body without transfer coding.
    pub body: &'a [u8],
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
    /// HTTP/1.0 manner: the body ends with the connection.
    UntilClose,
}

/// What the head of an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) length: usize,
    pub(super) framing: Framing,
    pub(super) close: bool,
}

/// Reads the head at the beginning of `bytes`; `None` while it is incomplete.
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>, ErrorClass> {
    let mut storage = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut storage);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ErrorClass::Protocol),
    };
    let status = parsed.code.ok_or(ErrorClass::Protocol)?;
    let mut framing = Framing::UntilClose;
    let mut close = parsed.version == Some(0);
    for header in parsed.headers.iter() {
        let name = header.name;
        if name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| ErrorClass::Protocol)?;
            let length = text.trim().parse().map_err(|_| ErrorClass::Protocol)?;
            framing = Framing::Length(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            close = !header.value.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    if matches!(status, 204 | 304) {
        framing = Framing::Length(0);
    }
    close |= framing == Framing::UntilClose;
    Ok(Some(Head { status, length, framing, close }))
}

/// Joins the chunks at the beginning of `bytes` in place.
///
/// Answers the range of the joined body, or `None` while the last chunk is missing.
pub(super) fn join_chunks(
    bytes: &mut [u8],
    from: usize,
) -> Result<Option<Range<usize>>, ErrorClass> {
    let mut chunks: Vec<Range<usize>> = Vec::new();
    let mut at = from;
    loop {
        let rest = bytes.get(at..).ok_or(ErrorClass::Protocol)?;
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(ErrorClass::Protocol),
        };
        let size = usize::try_from(size).map_err(|_| ErrorClass::Protocol)?;
        if size > ANSWER_BYTES_MAX {
            return Err(ErrorClass::Protocol);
        }
        let start = at + line;
        let end = start + size;
        if bytes.len() < end + 2 {
            return Ok(None);
        }
        if size == 0 {
            break;
        }
        chunks.push(start..end);
        at = end + 2;
    }
    let mut joined = from;
    for chunk in chunks {
        let length = chunk.len();
        bytes.copy_within(chunk, joined);
        joined += length;
    }
    Ok(Some(from..joined))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_incomplete_until_its_blank_line() {
        let bytes = b"HTTP/1.1 201 Created\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        for cut in 0..bytes.len() - 8 {
            assert_eq!(head(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        let found = head(bytes).unwrap().unwrap();
        assert_eq!((found.status, found.framing, found.close), (201, Framing::Length(7), false));
        assert_eq!(&bytes[found.length..], b"{\"a\":1}");
    }

    #[test]
    fn an_answer_without_length_ends_with_the_connection() {
        let found = head(b"HTTP/1.0 200 OK\r\n\r\n").unwrap().unwrap();
        assert_eq!((found.framing, found.close), (Framing::UntilClose, true));
    }

    #[test]
    fn no_content_has_no_body_whatever_its_headers_say() {
        let found = head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap();
        assert_eq!((found.framing, found.close), (Framing::Length(0), false));
    }

    #[test]
    fn garbage_is_a_protocol_error() {
        assert_eq!(head(b"SSH-2.0-x\r\n\r\n"), Err(ErrorClass::Protocol));
        let negative = b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n";
        assert_eq!(head(negative), Err(ErrorClass::Protocol));
    }

    #[test]
    fn chunks_are_joined_and_wait_for_the_last() {
        let mut bytes = b"HEAD3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec();
        let whole = bytes.len();
        for cut in 4..whole {
            assert_eq!(join_chunks(&mut bytes.clone()[..cut], 4), Ok(None), "cut at {cut}");
        }
        let range = join_chunks(&mut bytes, 4).unwrap().unwrap();
        assert_eq!(&bytes[range], b"abcde");
    }

    #[test]
    fn only_refusals_and_missing_connections_are_certain_to_have_no_effect() {
        assert!(ErrorClass::Connect.had_no_effect());
        assert!(ErrorClass::Status(403).had_no_effect());
        for unsure in [ErrorClass::Timeout, ErrorClass::Broken, ErrorClass::Status(503)] {
            assert!(!unsure.had_no_effect(), "{unsure}");
        }
    }
}
