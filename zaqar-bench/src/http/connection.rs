//! One keep-alive connection.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::{ANSWER_BYTES_MAX, Answer, ErrorClass, Framing, Head, head, join_chunks};
use super::target::Target;

/// First size of the read buffer: an answer of ten messages of 1 KB fits.
const BUFFER_BYTES: usize = 32 << 10;

/// A connection that is opened when first needed and again after a failure.
#[derive(Debug)]
pub struct Connection {
    target: Arc<Target>,
    timeout: Duration,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    body: Range<usize>,
}

impl Connection {
    /// A connection to `target` that is not open yet.
    #[must_use]
    pub fn new(target: Arc<Target>, timeout: Duration) -> Self {
        Self { target, timeout, stream: None, buffer: vec![0; BUFFER_BYTES], body: 0..0 }
    }

    /// Opens the connection, so that the first request does not pay for it.
    ///
    /// # Errors
    /// [`ErrorClass::Connect`]
    pub async fn open(&mut self) -> Result<(), ErrorClass> {
        if self.stream.is_none() {
            let address = (self.target.host(), self.target.port());
            let stream = tokio::time::timeout(self.timeout, TcpStream::connect(address))
                .await
                .map_err(|_| ErrorClass::Connect)?
                .map_err(|_| ErrorClass::Connect)?;
            stream.set_nodelay(true).map_err(|_| ErrorClass::Connect)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends prepared bytes and reads the answer.
    ///
    /// # Errors
    /// Any class but [`ErrorClass::Status`]: judging the status is the caller's part.
    pub async fn call(&mut self, request: &[u8]) -> Result<Answer<'_>, ErrorClass> {
        self.open().await?;
        let timeout = self.timeout;
        let outcome = match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ErrorClass::Timeout),
        };
        match outcome {
            Ok(head) => {
                if head.close {
                    self.stream = None;
                }
                Ok(Answer { status: head.status, body: self.body() })
            }
            Err(class) => {
                self.stream = None;
                self.body = 0..0;
                Err(class)
            }
        }
    }

    /// The body of the last answer.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.buffer.get(self.body.clone()).unwrap_or_default()
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Head, ErrorClass> {
        let stream = self.stream.as_mut().ok_or(ErrorClass::Connect)?;
        stream.write_all(request).await.map_err(|_| ErrorClass::Broken)?;
        let mut filled = 0;
        let mut known: Option<Head> = None;
        loop {
            let read = read_more(stream, &mut self.buffer, filled).await?;
            filled += read;
            let bytes = self.buffer.get_mut(..filled).ok_or(ErrorClass::Protocol)?;
            if known.is_none() {
                known = head(bytes)?;
            }
            let Some(head) = &known else {
                if read == 0 {
                    return Err(ErrorClass::Broken);
                }
                continue;
            };
            if let Some(body) = body_range(head, bytes, read == 0)? {
                self.body = body;
                return known.ok_or(ErrorClass::Protocol);
            }
            if read == 0 {
                return Err(ErrorClass::Broken);
            }
        }
    }
}

/// Reads once behind what is there, growing the buffer when it is full.
async fn read_more(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    filled: usize,
) -> Result<usize, ErrorClass> {
    if filled == buffer.len() {
        if filled >= ANSWER_BYTES_MAX {
            return Err(ErrorClass::Protocol);
        }
        buffer.resize(filled * 2, 0);
    }
    let free = buffer.get_mut(filled..).ok_or(ErrorClass::Protocol)?;
    stream.read(free).await.map_err(|_| ErrorClass::Broken)
}

/// Where the body lies once it is whole.
fn body_range(
    head: &Head,
    bytes: &mut [u8],
    closed: bool,
) -> Result<Option<Range<usize>>, ErrorClass> {
    match head.framing {
        Framing::Length(length) if length > ANSWER_BYTES_MAX => Err(ErrorClass::Protocol),
        Framing::Length(length) => {
            let end = head.length + length;
            // Bytes behind the answer would belong to a request that was never sent.
            match bytes.len().cmp(&end) {
                std::cmp::Ordering::Less => Ok(None),
                std::cmp::Ordering::Equal => Ok(Some(head.length..end)),
                std::cmp::Ordering::Greater => Err(ErrorClass::Protocol),
            }
        }
        Framing::Chunked => join_chunks(bytes, head.length),
        Framing::UntilClose => Ok(closed.then_some(head.length..bytes.len())),
    }
}
