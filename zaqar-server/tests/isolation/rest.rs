//! Every route, tried by another project.

use std::collections::BTreeSet;

use crate::answers::{anonymous, shown};
use crate::rest_requests::{OF_NOBODY, ROWS};
use crate::server::{Server, on_every_store};
use crate::tenant::Tenant;
use crate::things::{Leak, Names, fresh, settle};
use crate::victim::{Kit, Victim};

/// Somebody who tries things, and what it takes them to be called.
struct Attacker {
    tenant: Tenant,
    knows: Leak,
}

impl Attacker {
    async fn new(server: &Server, kit: Kit, knows: Leak, names: &Names) -> Self {
        let mut tenant = server.tenant(format!("other-{}", fresh())).await;
        if kit == Kit::Namesakes {
            settle(&mut tenant, names).await;
        }
        Self { tenant, knows }
    }

    /// The answer, without what may differ between two who are in the same position.
    async fn tries(&mut self, project: &str, kit: Kit, line: &str, body: &str) -> String {
        let (line, body) = (self.knows.fill(line), self.knows.fill(body));
        let signature = if kit == Kit::Signature { &self.knows.signature[..] } else { &[] };
        let answer = self.tenant.tries(project, &line, &body, signature).await;
        let own = self.knows.hide(&shown(&answer)).replace(self.tenant.project(), "{project}");
        anonymous(&own)
    }
}

/// Tries every route, or those of `hole` alone. The requests of a hole are sent in the victim's own
/// name: so a server would see them that looks at no project there. What was not as it must be.
async fn attack(server: &Server, kit: Kit, hole: Option<&str>) -> Vec<String> {
    let mut victim = Victim::new(server).await;
    let (names, elsewhere) = (victim.names(), Names::fresh());
    let nothing = victim.leak.of_nothing(&elsewhere);
    let mut attacker = Attacker::new(server, kit, victim.leak.clone(), &names).await;
    let mut bystander = Attacker::new(server, kit, nothing, &elsewhere).await;
    let mut faults = Vec::new();
    for (endpoint, requests) in ROWS.iter().filter(|row| hole.is_none_or(|hole| hole == row.0)) {
        let (method, _) = endpoint.split_once(' ').unwrap();
        let by = if hole.is_some() { &victim.tenant } else { &attacker.tenant };
        let by = by.project().to_owned();
        for (target, body) in *requests {
            let line = format!("{method} {target}");
            let found = attacker.tries(&by, kit, &line, body).await;
            let project = bystander.tenant.project().to_owned();
            let expected = bystander.tries(&project, kit, &line, body).await;
            if found != expected {
                faults.push(format!("{line}\n  got    {found}\n  not as {expected}"));
            }
        }
    }
    faults.extend(victim.losses().await);
    faults
}

async fn nothing_crosses(server: &Server) {
    for kit in [Kit::Bare, Kit::Namesakes, Kit::Signature] {
        let faults = attack(server, kit, None).await;
        assert!(faults.is_empty(), "{kit:?}: {}", faults.join("\n"));
    }
}

on_every_store!(nothing_crosses_through_any_route, nothing_crosses);

#[test]
fn every_route_is_tried() {
    let served: BTreeSet<String> = zaqar_server::rest::endpoints(true)
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    let known: Vec<&str> = ROWS.iter().map(|row| row.0).chain(OF_NOBODY.iter().copied()).collect();
    let tried: BTreeSet<String> = known.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(known.len(), tried.len(), "something is named twice");
    assert_eq!(served, tried);
}

/// That the tests above would notice: each route in turn forgets to look at the project.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_route_that_looks_at_no_project_would_be_noticed() {
    crate::server::on(crate::stores::Store::File, async |server: &Server| {
        for (endpoint, _) in ROWS {
            let faults = attack(server, Kit::Bare, Some(endpoint)).await;
            assert!(!faults.is_empty(), "nobody notices a hole in {endpoint}");
        }
    })
    .await;
}
