//! Who asks: built here, in one place, from the request's headers.
//!
//! Without authentication the identity headers are believed as they are. With it they have been
//! removed before ([`crate::auth::headers`]), and a token says who asks.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use zaqar_auth::Identity;
use zaqar_core::{ClientId, ProjectId, QueueKind};

use super::config::ClientIdRule;
use super::errors::Failure;
use super::names::invalid_name;
use crate::auth::Bearer;

const CLIENT_ID: HeaderName = HeaderName::from_static("client-id");
static ROLES: HeaderName = HeaderName::from_static("x-roles");
static USER_ID: HeaderName = HeaderName::from_static("x-user-id");
static USER_DOMAIN_ID: HeaderName = HeaderName::from_static("x-user-domain-id");
static PROJECT_DOMAIN_ID: HeaderName = HeaderName::from_static("x-project-domain-id");
static SYSTEM_SCOPE: HeaderName = HeaderName::from_static("openstack-system-scope");
pub(crate) const PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
/// Where the project may stand; the first that is there counts.
const PROJECT: [HeaderName; 3] =
    [PROJECT_ID, HeaderName::from_static("x-tenant-id"), HeaderName::from_static("x-tenant")];

/// Who asks.
#[derive(Debug)]
pub(crate) struct RequestContext {
    /// Whose own messages are hidden from it on request.
    pub(crate) client: ClientId,
    /// The tenant, and what the caller is in it.
    pub(crate) identity: Arc<Identity>,
    /// What it has shown, if that was a token.
    pub(crate) bearer: Option<Bearer>,
}

impl RequestContext {
    /// Reads the headers in the order in which their faults are reported: client, then project.
    /// `kind` is what the path names.
    pub(crate) fn from_headers(
        headers: &HeaderMap,
        rule: ClientIdRule,
        kind: QueueKind,
    ) -> Result<Self, Failure> {
        let client = client(headers, rule)?;
        let mut identity = Identity::of_project(project(headers, &PROJECT, kind)?);
        claim(&mut identity, |name| headers.get(name).map(text));
        Ok(Self { client, identity: Arc::new(identity), bearer: None })
    }

    /// The same for a signed request: it is about the project that was signed, and whoever sends it
    /// is nobody, whatever further headers say.
    pub(crate) fn of_signed(
        headers: &HeaderMap,
        rule: ClientIdRule,
        kind: QueueKind,
    ) -> Result<Self, Failure> {
        let client = client(headers, rule)?;
        let identity = Identity::of_project(project(headers, &[PROJECT_ID], kind)?);
        Ok(Self { client, identity: Arc::new(identity), bearer: None })
    }

    /// The same for a request of which a token says who asks.
    pub(crate) fn known(
        headers: &HeaderMap,
        rule: ClientIdRule,
        bearer: Bearer,
    ) -> Result<Self, Failure> {
        let client = client(headers, rule)?;
        let identity = Arc::clone(&bearer.validated.identity);
        Ok(Self { client, identity, bearer: Some(bearer) })
    }

    pub(crate) fn project(&self) -> &ProjectId {
        &self.identity.project
    }
}

/// Takes what a request says of its caller besides the project for true, as it is where nobody is
/// authenticated. `header` finds the value of a header by its name in small letters.
pub(crate) fn claim<'h>(
    identity: &mut Identity,
    header: impl Fn(&'static HeaderName) -> Option<Cow<'h, str>>,
) {
    let one = |name: &'static HeaderName| {
        header(name).filter(|value| !value.is_empty()).map(Cow::into_owned)
    };
    identity.user = one(&USER_ID);
    identity.user_domain = one(&USER_DOMAIN_ID);
    identity.project_domain = one(&PROJECT_DOMAIN_ID);
    identity.system_scope = one(&SYSTEM_SCOPE);
    identity.roles = header(&ROLES).map(|list| roles(&list)).unwrap_or_default();
}

/// The roles in a list with commas between them.
fn roles(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|role| !role.is_empty()).map(str::to_owned).collect()
}

fn client(headers: &HeaderMap, rule: ClientIdRule) -> Result<ClientId, Failure> {
    let bad = |title, text| Failure::new(StatusCode::BAD_REQUEST, title, text);
    let missing = || bad("Missing header value", "The \"Client-Id\" header is required.");
    client_id(&text(headers.get(CLIENT_ID).ok_or_else(missing)?), rule)
}

/// The client that calls itself so.
pub(crate) fn client_id(text: &str, rule: ClientIdRule) -> Result<ClientId, Failure> {
    let bad = |title, text| Failure::new(StatusCode::BAD_REQUEST, title, text);
    match rule {
        ClientIdRule::Strict => canonical_uuid(text)
            .and_then(|uuid| ClientId::new(uuid).ok())
            .ok_or_else(|| bad("Wrong UUID value", "Malformed hexadecimal UUID.")),
        ClientIdRule::Off { length_min, length_max } => {
            let fits = (length_min..=length_max).contains(&text.chars().count());
            fits.then(|| ClientId::new(text).ok()).flatten().ok_or_else(|| {
                let text = format!(
                    "The \"Client-Id\" header must have at least {length_min} and at most \
                     {length_max} characters."
                );
                Failure::new(StatusCode::BAD_REQUEST, "Invalid header value", text)
            })
        }
    }
}

/// The thirty-two lower-case digits of a UUID, so that every spelling of it is the same client.
fn canonical_uuid(text: &str) -> Option<String> {
    let bare: Cow<'_, str> = if text.contains(':') {
        Cow::Owned(text.replace("urn:", "").replace("uuid:", ""))
    } else {
        Cow::Borrowed(text)
    };
    let bare = bare.trim_matches(['{', '}']);
    if !bare.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return None;
    }
    let digits: String =
        bare.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    (digits.len() == 32).then_some(digits)
}

fn project(
    headers: &HeaderMap,
    names: &[HeaderName],
    kind: QueueKind,
) -> Result<ProjectId, Failure> {
    let bad = |title, text| Failure::new(StatusCode::BAD_REQUEST, title, text);
    let value = names.iter().find_map(|name| headers.get(name));
    let missing = || bad("Project-Id Missing", "The header X-PROJECT-ID was missing");
    checked_project(&text(value.ok_or_else(missing)?), kind)
}

/// The project of that id, for a request that can name queues alone.
pub(crate) fn project_id(text: &str) -> Result<ProjectId, Failure> {
    checked_project(text, QueueKind::Queue)
}

fn checked_project(text: &str, kind: QueueKind) -> Result<ProjectId, Failure> {
    let bad = |title, text| Failure::new(StatusCode::BAD_REQUEST, title, text);
    if text.is_empty() {
        return Err(bad(
            "Empty project header not allowed",
            "X-PROJECT-ID cannot be an empty string. Specify the right header X-PROJECT-ID and \
             retry.",
        ));
    }
    ProjectId::new(text).map_err(|_| invalid_name(kind))
}

/// A header's value as text: UTF-8, or else Latin-1.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.as_bytes().iter().copied().map(char::from).collect()),
    }
}

/// Refuses form data, which some clients send when they are told no content type.
pub(crate) fn refuse_form(headers: &HeaderMap) -> Result<(), Failure> {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    let is_form =
        headers.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(FORM));
    if is_form && headers.contains_key(CONTENT_LENGTH) {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "Invalid Content-Type",
            "Endpoint does not accept `application/x-www-form-urlencoded` content; currently \
             supported media type is `application/json`; specify proper client-side media type \
             with the \"Content-Type\" header.",
        ));
    }
    Ok(())
}

/// Refuses clients that take no JSON.
pub(crate) fn check_accept(headers: &HeaderMap) -> Result<(), Failure> {
    let mut best: Option<(u8, bool)> = None;
    for value in headers.get_all(ACCEPT) {
        let ranges = value.to_str().unwrap_or("-");
        for range in ranges.split(',').filter(|range| !range.trim().is_empty()) {
            let found = rate(range);
            // The most specific range that speaks of JSON decides.
            if best.is_none_or(|best| found.0 >= best.0) {
                best = Some(found);
            }
        }
    }
    match best {
        None | Some((1.., true)) => Ok(()),
        Some(_) => Err(Failure::not_acceptable()),
    }
}

/// How closely a media range names JSON (0: not at all), and whether it wants it.
fn rate(range: &str) -> (u8, bool) {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let specificity = match media {
        _ if media.eq_ignore_ascii_case("application/json") => 3,
        _ if media.eq_ignore_ascii_case("application/*") => 2,
        "*/*" => 1,
        _ => 0,
    };
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let wanted = quality.is_none_or(|q| q.trim().parse::<f32>().is_ok_and(|q| q > 0.0));
    (specificity, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |&(name, value): &(&str, &str)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn every_spelling_of_a_uuid_is_the_same_client() {
        for text in [
            "3381af92-2b9e-11e3-b191-71861300734c",
            "3381af922b9e11e3b19171861300734c",
            "3381AF92-2B9E-11E3-B191-71861300734C",
            "{3381af92-2b9e-11e3-b191-71861300734c}",
            "urn:uuid:3381af92-2b9e-11e3-b191-71861300734c",
        ] {
            let uuid = canonical_uuid(text);
            assert_eq!(uuid.as_deref(), Some("3381af922b9e11e3b19171861300734c"), "{text}");
        }
        for bad in ["", "0xdeadbeef", "3381af922b9e11e3b19171861300734", "textid", "ü"] {
            assert_eq!(canonical_uuid(bad), None, "{bad}");
        }
    }

    #[test]
    fn accept_follows_the_most_specific_range() {
        for good in [
            "*/*",
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON",
            "text/html, application/*;q=0.2",
            "application/xml, */*;q=0.1",
            "",
        ] {
            assert!(check_accept(&headers(&[("accept", good)])).is_ok(), "{good}");
        }
        for bad in [
            "application/xml",
            "application/json-home",
            "application/vnd.openstack.messaging-v2+json",
            "application/json;q=0, */*",
            "*/*, application/json;q=0",
            "nonsense",
        ] {
            assert!(check_accept(&headers(&[("accept", bad)])).is_err(), "{bad}");
        }
        assert!(check_accept(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_project_may_be_any_text_and_may_stand_in_three_headers() {
        for name in ["x-project-id", "x-tenant-id", "x-tenant"] {
            let found = project(&headers(&[(name, "JAM Projekt ü")]), &PROJECT, QueueKind::Queue);
            let found = found.unwrap();
            assert_eq!(found.as_str(), "JAM Projekt ü");
        }
        let first = headers(&[("x-tenant", "b"), ("x-project-id", "a")]);
        assert_eq!(project(&first, &PROJECT, QueueKind::Queue).unwrap().as_str(), "a");
    }

    #[test]
    fn without_authentication_the_headers_say_who_asks() {
        let told = headers(&[
            ("client-id", "3381af922b9e11e3b19171861300734c"),
            ("x-project-id", "p"),
            ("x-roles", "member, Admin,,"),
            ("x-user-id", "u"),
            ("x-user-domain-id", ""),
            ("openstack-system-scope", "all"),
        ]);
        let rule = ClientIdRule::Strict;
        let context = RequestContext::from_headers(&told, rule, QueueKind::Queue).unwrap();
        let mut expected = Identity::of_project(ProjectId::new("p").unwrap());
        let signed = RequestContext::of_signed(&told, rule, QueueKind::Queue).unwrap();
        assert_eq!(*signed.identity, expected);
        expected.roles = vec!["member".to_owned(), "Admin".to_owned()];
        expected.user = Some("u".to_owned());
        expected.system_scope = Some("all".to_owned());
        assert_eq!(*context.identity, expected);
    }
}
