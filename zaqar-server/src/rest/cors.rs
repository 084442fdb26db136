//! Cross-origin requests from browsers. Nothing happens here until an origin is allowed.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

/// Which web pages of other origins may use the service from a browser.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CorsConfig {
    /// Origins; `*` stands for all, which then get no credentials. Empty: cross-origin requests
    /// get no special treatment.
    pub allowed_origin: Vec<String>,
    /// Whether requests may carry credentials.
    pub allow_credentials: bool,
    /// Headers of an answer that the page may read.
    pub expose_headers: Vec<String>,
    /// How long a browser may remember a permission, in seconds.
    pub max_age: u64,
    /// Methods that the page may use.
    pub allow_methods: Vec<String>,
    /// Headers that the page may send besides the simple ones.
    pub allow_headers: Vec<String>,
}

impl Default for CorsConfig {
    fn default() -> Self {
        let list = |items: &str| items.split(',').map(str::to_owned).collect();
        Self {
            allowed_origin: Vec::new(),
            allow_credentials: true,
            expose_headers: list(
                "X-Auth-Token,X-Subject-Token,X-Service-Token,X-OpenStack-Request-ID",
            ),
            max_age: 3_600,
            allow_methods: list("GET,PUT,POST,DELETE,PATCH,HEAD"),
            allow_headers: list(
                "X-Auth-Token,X-Identity-Status,X-Roles,X-Service-Catalog,X-User-Id,X-Tenant-Id,\
                 X-OpenStack-Request-ID,X-Trace-Info,X-Trace-HMAC,Client-id,\
                 Idempotency-Key",
            ),
        }
    }
}

/// Headers that every page may send.
const SIMPLE_HEADERS: [&str; 8] = [
    "Accept",
    "Accept-Language",
    "Content-Type",
    "Cache-Control",
    "Content-Language",
    "Expires",
    "Last-Modified",
    "Pragma",
];

impl CorsConfig {
    /// Adds to an answer what the browser must find there before the page may see it.
    pub(crate) fn apply(&self, method: &Method, request: &HeaderMap, response: &mut HeaderMap) {
        let Some(origin) = self.origin(request) else { return };
        if method == Method::OPTIONS {
            self.preflight(origin, request, response);
        } else {
            self.allow(origin, response);
            insert(response, &ACCESS_CONTROL_EXPOSE_HEADERS, &self.expose_headers.join(","));
        }
    }

    /// What the answer says is allowed: the page's own origin, or any.
    fn origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        if self.allowed_origin.is_empty() {
            return None;
        }
        let origin = request.get(ORIGIN)?;
        if self.allowed_origin.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
            return Some(origin.clone());
        }
        let any = self.allowed_origin.iter().any(|allowed| allowed == "*");
        any.then(|| HeaderValue::from_static("*"))
    }

    fn preflight(&self, origin: HeaderValue, request: &HeaderMap, response: &mut HeaderMap) {
        let Some(method) = request.get(ACCESS_CONTROL_REQUEST_METHOD) else { return };
        let method_known = |allowed: &String| allowed.as_bytes() == method.as_bytes();
        if !self.allow_methods.iter().any(method_known) {
            return;
        }
        let wanted = request.get(ACCESS_CONTROL_REQUEST_HEADERS);
        let names = wanted.map_or("", |value| value.to_str().unwrap_or("?"));
        let mut names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        if !names.all(|name| self.header_allowed(name)) {
            return;
        }
        self.allow(origin, response);
        insert(response, &ACCESS_CONTROL_MAX_AGE, &self.max_age.to_string());
        response.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        if let Some(wanted) = wanted {
            response.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    }

    fn header_allowed(&self, name: &str) -> bool {
        let mut allowed =
            self.allow_headers.iter().map(String::as_str).chain(SIMPLE_HEADERS.iter().copied());
        allowed.any(|allowed| allowed.eq_ignore_ascii_case(name))
    }

    fn allow(&self, origin: HeaderValue, response: &mut HeaderMap) {
        // A browser refuses credentials together with "any origin", and rightly so.
        if self.allow_credentials && origin != "*" {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let vary = if response.contains_key(VARY) { "Accept,Origin" } else { "Origin" };
        response.insert(VARY, HeaderValue::from_static(vary));
    }
}

fn insert(response: &mut HeaderMap, name: &http::HeaderName, value: &str) {
    // A configured value that no header can carry is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.insert(name.clone(), value);
    }
}
