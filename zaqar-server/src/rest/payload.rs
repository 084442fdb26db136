//! Request bodies: counted while they are read, never past their bound.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;

use super::errors::Failure;
use super::json::scan::{self, Malformed};

/// Bound of the bodies that have none of their own, in bytes.
pub(crate) const BYTES_MAX: u64 = 65_536;

/// How much of an unwanted body is read away, so that a client that is still sending it gets to
/// read the answer instead of a reset connection, in bytes.
const DRAIN_BYTES_MAX: u64 = 1_048_576;

/// A request's body, still to be read.
#[derive(Debug)]
pub(crate) struct Payload {
    body: Body,
    declared: Declared,
    /// The client waits to be asked for its body before it sends it.
    waits: bool,
}

/// What the request says about its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declared {
    Nothing,
    Bytes(u64),
    Malformed,
    Negative,
}

/// Why a body could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unreadable {
    TooLarge,
    Broken,
}

impl Payload {
    /// The body of a request with these headers.
    pub(crate) fn new(body: Body, headers: &HeaderMap) -> Self {
        Self { body, declared: declared(headers), waits: headers.contains_key(EXPECT) }
    }

    /// Whether the request says that its body has no bytes.
    pub(crate) fn is_declared_empty(&self) -> bool {
        self.declared == Declared::Bytes(0)
    }

    /// Reads the body, at most `max` bytes of it; `too_large` makes the answer to a longer one.
    /// Empty if there is none.
    pub(crate) async fn read(
        &mut self,
        max: u64,
        too_large: impl FnOnce() -> Failure,
    ) -> Result<Bytes, Failure> {
        let reason = match self.declared {
            Declared::Bytes(length) if length > max => return Err(too_large()),
            Declared::Bytes(_) | Declared::Nothing => match self.collect(max).await {
                Ok(bytes) => return Ok(bytes),
                Err(Unreadable::TooLarge) => return Err(too_large()),
                Err(Unreadable::Broken) => {
                    return Err(Failure::unavailable("Request body could not be read."));
                }
            },
            Declared::Malformed => "The value of the header must be a number.",
            Declared::Negative => "The value of the header must be a positive number.",
        };
        let text =
            format!("The value provided for the \"Content-Length\" header is invalid. {reason}");
        Err(Failure::new(StatusCode::BAD_REQUEST, "Invalid header value", text))
    }

    /// Reads a body that has no bound of its own.
    pub(crate) async fn read_small(&mut self) -> Result<Bytes, Failure> {
        let too_large =
            || Failure::api(format!("Request body is too large. Max size: {BYTES_MAX}"));
        self.read(BYTES_MAX, too_large).await
    }

    async fn collect(&mut self, max: u64) -> Result<Bytes, Unreadable> {
        let mut first = Bytes::new();
        let mut gathered = BytesMut::new();
        let mut count = 0;
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|_| Unreadable::Broken)?;
            let Ok(data) = frame.into_data() else { continue };
            count += length(&data);
            if count > max {
                return Err(Unreadable::TooLarge);
            }
            // Small bodies come in one piece, which needs no copy.
            if first.is_empty() && gathered.is_empty() {
                first = data;
            } else {
                gathered.extend_from_slice(&std::mem::take(&mut first));
                gathered.extend_from_slice(&data);
            }
        }
        Ok(if gathered.is_empty() { first } else { gathered.freeze() })
    }

    /// Reads away what is left of the body, within bounds.
    pub(crate) async fn drain(&mut self) {
        use axum::body::HttpBody as _;
        let mut count = 0;
        while !self.waits && count <= DRAIN_BYTES_MAX && !self.body.is_end_stream() {
            match self.body.frame().await {
                Some(Ok(frame)) => count += frame.data_ref().map_or(0, length),
                Some(Err(_)) | None => return,
            }
        }
    }
}

fn length(data: &Bytes) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}

fn declared(headers: &HeaderMap) -> Declared {
    let Some(value) = headers.get(CONTENT_LENGTH) else { return Declared::Nothing };
    let text = value.to_str().unwrap_or_default().trim();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.strip_prefix('-') {
        Some(rest) if digits(rest) => Declared::Negative,
        None if digits(text) => Declared::Bytes(text.parse().unwrap_or(u64::MAX)),
        _ => Declared::Malformed,
    }
}

/// The text of a JSON body that was read.
pub(crate) fn json_text(bytes: &[u8]) -> Result<&str, Failure> {
    scan::check(bytes).map_err(|malformed| match malformed {
        Malformed::Syntax => Failure::unparsable(),
        Malformed::IntegerTooLarge => Failure::body("JSON contains integer that is too large."),
    })
}
