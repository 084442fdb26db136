//! What Keystone writes.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zaqar_core::{ProjectId, Timestamp};

use super::Validated;
use super::api::{Purpose, Trouble};
use crate::Identity;

#[derive(Deserialize)]
struct Envelope<T> {
    token: T,
}

/// What is read of a token's document.
#[derive(Debug, Deserialize)]
pub(super) struct TokenDocument {
    #[serde(deserialize_with = "moment")]
    pub(super) expires_at: Timestamp,
    user: Owned,
    #[serde(default, deserialize_with = "project")]
    project: Option<(ProjectId, Option<String>)>,
    #[serde(default)]
    roles: Vec<Named>,
}

/// Something that belongs to a domain.
#[derive(Debug, Deserialize)]
struct Owned {
    id: String,
    domain: Option<Identified>,
}

#[derive(Debug, Deserialize)]
struct Identified {
    id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

impl TokenDocument {
    /// Who the token belongs to; `None` if it is for no project.
    pub(super) fn into_validated(self) -> Option<Validated> {
        let (project, project_domain) = self.project?;
        let mut identity = Identity::of_project(project);
        identity.project_domain = project_domain;
        identity.user_domain = self.user.domain.and_then(|domain| domain.id);
        identity.user = Some(self.user.id);
        identity.roles = self.roles.into_iter().map(|role| role.name).collect();
        Some(Validated { identity: Arc::new(identity), expires_at: self.expires_at })
    }
}

/// Reads the answer to a question about a token.
pub(super) fn token(body: &[u8]) -> Result<TokenDocument, Trouble> {
    let read: Result<Envelope<TokenDocument>, _> = serde_json::from_slice(body);
    // The reason may quote what was sent.
    read.map(|envelope| envelope.token).map_err(|_| Trouble::Nonsense(Purpose::Validate))
}

/// What is read of the answer to a login.
#[derive(Deserialize)]
pub(super) struct LoginDocument {
    #[serde(deserialize_with = "moment")]
    pub(super) expires_at: Timestamp,
    pub(super) user: Id,
}

#[derive(Deserialize)]
pub(super) struct Id {
    pub(super) id: String,
}

/// Reads the answer to a login.
pub(super) fn login(body: &[u8]) -> Option<LoginDocument> {
    let read: Envelope<LoginDocument> = serde_json::from_slice(body).ok()?;
    Some(read.token)
}

#[derive(Deserialize)]
struct Given {
    trust: Id,
}

/// The id of the trust that an answer is about.
pub(super) fn trust(body: &[u8]) -> Option<String> {
    let read: Given = serde_json::from_slice(body).ok()?;
    Some(read.trust.id)
}

fn moment<'de, D: Deserializer<'de>>(input: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(input)?;
    let moment = OffsetDateTime::parse(&text, &Rfc3339).map_err(serde::de::Error::custom)?;
    let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
    let millis = i64::try_from(millis).map_err(serde::de::Error::custom)?;
    Ok(Timestamp::from_millis(millis))
}

type Project = (ProjectId, Option<String>);

fn project<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Project>, D::Error> {
    let Some(project) = Option::<Owned>::deserialize(input)? else { return Ok(None) };
    let id = ProjectId::new(project.id).map_err(serde::de::Error::custom)?;
    Ok(Some((id, project.domain.and_then(|domain| domain.id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_s_document_says_who_it_belongs_to() {
        let text = r#"{"token": {"methods": ["password"], "user": {"domain": {"id": "default",
            "name": "Default"}, "id": "u1", "name": "alice", "password_expires_at": null},
            "audit_ids": ["x"], "expires_at": "2033-05-18T03:34:20.500000Z",
            "issued_at": "2033-05-18T02:34:20.000000Z",
            "project": {"domain": {"id": "d2", "name": "D"}, "id": "p1", "name": "demo"},
            "is_domain": false, "roles": [{"id": "r1", "name": "member"}, {"id": "r2",
            "name": "reader"}]}}"#;
        let validated = token(text.as_bytes()).unwrap().into_validated().unwrap();
        assert_eq!(validated.expires_at, Timestamp::from_millis(2_000_000_060_500));
        let mut expected = Identity::of_project(ProjectId::new("p1").unwrap());
        expected.user = Some("u1".to_owned());
        expected.user_domain = Some("default".to_owned());
        expected.project_domain = Some("d2".to_owned());
        expected.roles = vec!["member".to_owned(), "reader".to_owned()];
        assert_eq!(*validated.identity, expected);
    }

    #[test]
    fn a_token_for_no_project_is_somebody_s_without_one() {
        let text = r#"{"token": {"user": {"id": "u1"}, "expires_at": "2033-05-18T03:34:20Z"}}"#;
        assert!(token(text.as_bytes()).unwrap().into_validated().is_none());
    }

    #[test]
    fn what_is_no_document_is_told_apart_from_one() {
        for text in [
            "",
            "null",
            "<html>",
            "{}",
            r#"{"token": {}}"#,
            r#"{"token": {"user": {"id": "u"}, "expires_at": "soon"}}"#,
            r#"{"token": {"user": {}, "expires_at": "2033-05-18T03:34:20Z"}}"#,
            r#"{"token": {"user": {"id": "u"}, "project": {"id": ""}, "expires_at": "2033-05-18T03:34:20Z"}}"#,
        ] {
            assert_eq!(token(text.as_bytes()).unwrap_err(), Trouble::Nonsense(Purpose::Validate));
            assert!(trust(text.as_bytes()).is_none());
        }
    }
}
