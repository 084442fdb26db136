//! What the headers of a request show and say of its caller.

use http::{HeaderMap, HeaderName};
use zaqar_auth::keystone::Token;

use super::{Authentication, Shown};
use crate::rest::context::PROJECT_ID;

/// Its presence alone makes a request a signed one.
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("url-signature");
const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// How the names of headers begin that say who asks. They are set by whoever has validated a token,
/// so with Keystone on, which is done here, they can only be forged.
const CLAIMS: [&str; 9] = [
    "x-domain",
    "x-identity-",
    "x-is-admin",
    "x-project",
    "x-role",
    "x-service-",
    "x-tenant",
    "x-user",
    "openstack-system-scope",
];

/// Takes from the headers what they show of the caller, and what nobody below may believe: where
/// tokens are asked for every claim, in a signed request every claim but the project that was
/// signed. A token is kept from everything below too.
pub(crate) fn take(authentication: &Authentication, headers: &mut HeaderMap) -> Shown {
    if headers.contains_key(SIGNATURE) {
        strip(headers, |name| *name == PROJECT_ID);
        return Shown::Signature;
    }
    match authentication {
        Authentication::None => Shown::Word,
        Authentication::Keystone(keystone) => {
            let token = token(headers);
            strip(headers, |_| false);
            headers.remove(TOKEN);
            Shown::Token(keystone.clone(), token)
        }
    }
}

/// The token, if there is one and no second one: it could not be said which of them counts.
fn token(headers: &HeaderMap) -> Option<Token> {
    let mut values = headers.get_all(TOKEN).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Token::new(value.to_str().ok()?).ok(),
        _ => None,
    }
}

/// Removes every claim but those to keep.
fn strip(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    let is_claim = |name: &&HeaderName| CLAIMS.iter().any(|claim| name.as_str().starts_with(claim));
    let forged: Vec<HeaderName> =
        headers.keys().filter(is_claim).filter(|name| !keep(name)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const FORGED: [&str; 16] = [
        "x-domain-id",
        "x-domain-name",
        "x-identity-status",
        "x-is-admin-project",
        "x-project-domain-id",
        "x-project-name",
        "x-role",
        "x-roles",
        "x-service-roles",
        "x-service-token",
        "x-service-catalog",
        "x-tenant",
        "x-tenant-id",
        "x-user",
        "x-user-id",
        "openstack-system-scope",
    ];

    fn forged() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for name in FORGED.into_iter().chain(["x-project-id", "client-id", "accept", "url-paths"]) {
            headers.append(name, HeaderValue::from_static("a"));
            headers.append(name, HeaderValue::from_static("b"));
        }
        headers
    }

    fn left(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_signed_request_says_nothing_of_its_caller_but_the_project_that_was_signed() {
        let mut headers = forged();
        headers.insert(SIGNATURE, HeaderValue::from_static(""));
        assert!(matches!(take(&Authentication::None, &mut headers), Shown::Signature));
        assert_eq!(
            left(&headers),
            ["accept", "client-id", "url-paths", "url-signature", "x-project-id"]
        );
    }

    #[test]
    fn without_authentication_everything_is_left_as_it_was_said() {
        let mut headers = forged();
        assert!(matches!(take(&Authentication::None, &mut headers), Shown::Word));
        assert_eq!(headers, forged());
    }

    #[test]
    fn of_several_tokens_none_counts() {
        let mut headers = HeaderMap::new();
        assert!(token(&headers).is_none());
        headers.append(TOKEN, HeaderValue::from_static("t"));
        assert!(token(&headers).is_some());
        headers.append(TOKEN, HeaderValue::from_static("t"));
        assert!(token(&headers).is_none());
        for bad in ["", " ", "a b", &"x".repeat(8_193)] {
            headers.insert(TOKEN, HeaderValue::from_str(bad).unwrap());
            assert!(token(&headers).is_none(), "{bad}");
        }
    }
}
