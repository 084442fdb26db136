//! The server under test: where it is and the headers that every request to it carries.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail, ensure};
use url::{Host, Url};

/// A base URL, split for connecting, and the header block common to all requests.
pub struct Target {
    url: String,
    host: String,
    port: u16,
    prefix: String,
    headers: String,
    /// Header lines, of which each request bears the next one.
    tokens: Vec<String>,
    turn: AtomicUsize,
}

impl fmt::Debug for Target {
    // The header block may hold a token, so it is not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Target {
    /// Reads a base URL such as `http://127.0.0.1:8888` or `http://host/messaging`.
    ///
    /// # Errors
    /// The URL is not plain `http`, names no host, or a header value holds a control character.
    pub fn new(url: &str, project: &str, token: Option<&str>) -> anyhow::Result<Self> {
        let parsed = Url::parse(url).with_context(|| format!("{url} is not a URL"))?;
        ensure!(
            parsed.scheme() == "http",
            "{url}: only http is spoken here; measure TLS at the proxy that terminates it"
        );
        let (host, shown) = match parsed.host() {
            Some(Host::Ipv6(address)) => (address.to_string(), format!("[{address}]")),
            Some(host) => (host.to_string(), host.to_string()),
            None => bail!("{url} names no host"),
        };
        let port = parsed.port_or_known_default().unwrap_or(80);
        let client = uuid::Uuid::new_v4();
        let mut headers = format!(
            "host: {shown}:{port}\r\nclient-id: {client}\r\nx-project-id: {project}\r\n\
             accept: application/json\r\n"
        );
        if let Some(token) = token {
            headers.push_str("x-auth-token: ");
            headers.push_str(token);
            headers.push_str("\r\n");
        }
        let values = [Some(project), token];
        ensure!(
            !values.iter().flatten().any(|value| value.bytes().any(|b| b.is_ascii_control())),
            "the project and the token must not hold control characters"
        );
        let prefix = parsed.path().trim_end_matches('/').trim_end_matches("/v2").to_owned();
        let (url, turn) = (url.to_owned(), AtomicUsize::new(0));
        Ok(Self { url, host, port, prefix, headers, tokens: Vec::new(), turn })
    }

    /// Lets requests bear these tokens in turn.
    ///
    /// # Errors
    /// One is empty or can stand in no header.
    pub fn with_tokens<'t>(
        mut self,
        tokens: impl IntoIterator<Item = &'t str>,
    ) -> anyhow::Result<Self> {
        for token in tokens {
            let is_sound = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
            ensure!(is_sound, "a token must have visible ASCII characters alone");
            self.tokens.push(format!("x-auth-token: {token}\r\n"));
        }
        Ok(self)
    }

    /// The URL as it was given.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The bytes of a request; `path` begins with `/v2/`.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.request_into(&mut bytes, method, path.as_bytes(), body);
        bytes
    }

    /// Like [`Target::request`], into a buffer that is emptied first and can be kept.
    pub fn request_into(
        &self,
        bytes: &mut Vec<u8>,
        method: &str,
        path: &[u8],
        body: Option<&[u8]>,
    ) {
        bytes.clear();
        bytes.extend_from_slice(method.as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(self.prefix.as_bytes());
        bytes.extend_from_slice(path);
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        bytes.extend_from_slice(self.headers.as_bytes());
        if !self.tokens.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.tokens.len();
            bytes.extend_from_slice(self.tokens.get(turn).map_or(&[], |line| line.as_bytes()));
        }
        if let Some(body) = body {
            let framing =
                format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
            bytes.extend_from_slice(framing.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(target: &Target, body: Option<&[u8]>) -> String {
        String::from_utf8(target.request("POST", "/v2/queues/q/messages", body)).unwrap()
    }

    #[test]
    fn a_path_prefix_comes_before_the_api_path() {
        let target = Target::new("http://example.org/messaging/", "p", None).unwrap();
        let request = text(&target, Some(b"{}"));
        assert!(request.starts_with("POST /messaging/v2/queues/q/messages HTTP/1.1\r\n"));
        assert!(request.contains("host: example.org:80\r\n"));
        assert!(request.ends_with("content-length: 2\r\n\r\n{}"));
    }

    #[test]
    fn a_base_url_that_ends_in_v2_does_not_repeat_it() {
        let target = Target::new("http://[::1]:8888/v2", "p", None).unwrap();
        assert!(text(&target, None).starts_with("POST /v2/queues/q/messages "));
        assert_eq!((target.host(), target.port()), ("::1", 8888));
    }

    #[test]
    fn https_and_header_injection_are_refused() {
        assert!(Target::new("https://example.org", "p", None).is_err());
        assert!(Target::new("http://example.org", "p\r\nx: y", None).is_err());
    }

    #[test]
    fn tokens_are_borne_in_turn() {
        let target = Target::new("http://example.org", "p", None).unwrap();
        let target = target.with_tokens(["a", "b"]).unwrap();
        for token in ["a", "b", "a"] {
            assert!(text(&target, None).contains(&format!("\r\nx-auth-token: {token}\r\n")));
        }
        let other = Target::new("http://example.org", "p", None).unwrap();
        assert!(other.with_tokens(["a\r\nb"]).is_err());
    }

    #[test]
    fn debug_output_hides_the_token() {
        let target = Target::new("http://example.org", "p", Some("secret-token")).unwrap();
        assert!(!format!("{target:?}").contains("secret-token"));
        assert!(text(&target, None).contains("x-auth-token: secret-token\r\n"));
    }
}
