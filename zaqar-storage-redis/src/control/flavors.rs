//! Flavors.

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Error, Flavor, FlavorController, FlavorName, Page, PageLimit, ProjectId, Result,
};

use crate::driver::RedisControl;
use crate::keys::{Place, sortable, split_sortable};
use crate::registry::{FLAVOR_DELETE, FLAVOR_LIST, FLAVOR_PUT};

use super::{from_text, to_text};

/// There is no such flavor.
const MISSING: i64 = 6;

fn place() -> Place {
    Place::global("flavors")
}

fn missing(name: &FlavorName) -> Error {
    Error::FlavorNotFound { name: name.clone() }
}

/// What a flavor is filed under: its project's stand together.
fn member_of(project: &ProjectId, name: &str) -> Vec<u8> {
    let mut member = sortable(project.as_str());
    member.extend(name.bytes());
    member
}

/// One end of a range of members.
pub(super) fn bound(sign: u8, member: &[u8], beyond: bool) -> Vec<u8> {
    let mut bound = vec![sign];
    bound.extend(member);
    if beyond {
        // Greater than any byte of UTF-8 text.
        bound.push(0xff);
    }
    bound
}

impl RedisControl {
    async fn put_flavor(&self, flavor: Flavor, existing: bool) -> Result<()> {
        let member = member_of(&flavor.project, flavor.name.as_str());
        let capabilities = to_text(&flavor.capabilities);
        let arguments = move |command: &mut redis::Cmd| {
            command.arg(&member).arg(&capabilities).arg(u8::from(existing));
        };
        let project = Some(&flavor.project);
        let answer = self.change("flavor_put", &FLAVOR_PUT, place(), project, arguments).await?;
        match answer.code {
            MISSING => Err(missing(&flavor.name)),
            _ => answer.plain().map(drop),
        }
    }

    async fn drop_flavor(&self, member: Vec<u8>) -> Result<()> {
        let arguments = move |command: &mut redis::Cmd| {
            command.arg(&member);
        };
        let answer = self.change("flavor_delete", &FLAVOR_DELETE, place(), None, arguments).await?;
        answer.plain().map(drop)
    }

    async fn read_flavors(
        &self,
        operation: &'static str,
        from: Vec<u8>,
        to: Vec<u8>,
        limit: u32,
    ) -> Result<Vec<Flavor>> {
        let arguments = |command: &mut redis::Cmd| {
            command.arg(&from).arg(&to).arg(limit);
        };
        let mut reply = self.look(operation, &FLAVOR_LIST, place(), arguments).await?.plain()?;
        let mut flavors = Vec::new();
        while !reply.is_empty() {
            let member = reply.bytes("flavor")?;
            let capabilities = reply.text("flavor")?;
            let names = || {
                let (project, name) = split_sortable(&member)?;
                let name = FlavorName::new(std::str::from_utf8(name).ok()?).ok()?;
                Some((ProjectId::new(project).ok()?, name))
            };
            let (project, name) = names().ok_or_else(|| reply.damaged("flavor"))?;
            let capabilities = from_text(&reply, &capabilities, "flavor")?;
            flavors.push(Flavor { project, name, capabilities });
        }
        Ok(flavors)
    }
}

#[async_trait]
impl FlavorController for RedisControl {
    async fn flavor_put(&self, flavor: Flavor) -> Result<()> {
        self.put_flavor(flavor, false).await
    }

    async fn flavor_get(&self, project: &ProjectId, name: &FlavorName) -> Result<Flavor> {
        let member = member_of(project, name.as_str());
        let (from, to) = (bound(b'[', &member, false), bound(b'[', &member, false));
        let found = self.read_flavors("flavor_get", from, to, 1).await?;
        found.into_iter().next().ok_or_else(|| missing(name))
    }

    async fn flavor_list(
        &self,
        project: &ProjectId,
        marker: Option<&FlavorName>,
        limit: PageLimit,
    ) -> Result<Page<Flavor, FlavorName>> {
        let after = member_of(project, marker.map_or("", |marker| marker.as_str()));
        let to = bound(b'(', &member_of(project, ""), true);
        let found = self.read_flavors("flavor_list", bound(b'(', &after, false), to, limit.get());
        Ok(Page::of(found.await?, |flavor| flavor.name.clone()))
    }

    async fn flavor_update(
        &self,
        project: &ProjectId,
        name: &FlavorName,
        capabilities: Capabilities,
    ) -> Result<()> {
        let flavor = Flavor { project: project.clone(), name: name.clone(), capabilities };
        self.put_flavor(flavor, true).await
    }

    async fn flavor_delete(&self, project: &ProjectId, name: &FlavorName) -> Result<()> {
        self.drop_flavor(member_of(project, name.as_str())).await
    }

    async fn flavor_delete_all(&self) -> Result<()> {
        self.drop_flavor(Vec::new()).await
    }
}
