//! Every WebSocket action, tried by another project.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::answers::anonymous;
use crate::server::{Server, on_every_store};
use crate::sockets_requests::{OF_NOBODY, ROWS};
use crate::tenant::Socket;
use crate::things::{Leak, Names, fresh, settle};
use crate::victim::{Kit, Victim};

/// Somebody who tries things, and what it takes them to be called.
struct Attacker {
    socket: Socket,
    knows: Leak,
}

impl Attacker {
    async fn new(server: &Server, kit: Kit, knows: Leak, names: &Names) -> Self {
        let mut tenant = server.tenant(format!("other-{}", fresh())).await;
        if kit == Kit::Namesakes {
            settle(&mut tenant, names).await;
        }
        Self { socket: server.socket(tenant.project()).await, knows }
    }

    /// The answer, without what may differ between two who are in the same position.
    async fn tries(&mut self, project: &str, kit: Kit, action: &str, body: &str) -> String {
        let body: Value = serde_json::from_str(&self.knows.fill(body)).unwrap();
        let signature = if kit == Kit::Signature { self.signature() } else { Vec::new() };
        let mut answer = self.socket.tries(project, action, body, &signature).await;
        answer["request"]["headers"]["X-Project-ID"] = json!("{project}");
        let own = self.knows.hide(&answer.to_string()).replace(self.socket.project(), "{project}");
        anonymous(&own)
    }

    fn signature(&self) -> Vec<(&'static str, Value)> {
        let name = |name: &str| match name {
            "url-signature" => "URL-Signature",
            "url-expires" => "URL-Expires",
            "url-methods" => "URL-Methods",
            _ => "URL-Paths",
        };
        self.knows.signature.iter().map(|(key, value)| (name(key), json!(value))).collect()
    }
}

/// Tries every action, or `hole` alone. The requests of a hole are sent in the victim's own name: so
/// a server would see them that looks at no project there. What was not as it must be.
async fn attack(server: &Server, kit: Kit, hole: Option<&str>) -> Vec<String> {
    let mut victim = Victim::new(server).await;
    let (names, elsewhere) = (victim.names(), Names::fresh());
    let nothing = victim.leak.of_nothing(&elsewhere);
    let mut attacker = Attacker::new(server, kit, victim.leak.clone(), &names).await;
    let mut bystander = Attacker::new(server, kit, nothing, &elsewhere).await;
    let mut faults = Vec::new();
    for (action, bodies) in ROWS.iter().filter(|row| hole.is_none_or(|hole| hole == row.0)) {
        let own = attacker.socket.project();
        let by = if hole.is_some() { victim.tenant.project() } else { own }.to_owned();
        for body in *bodies {
            let found = attacker.tries(&by, kit, action, body).await;
            let project = bystander.socket.project().to_owned();
            let expected = bystander.tries(&project, kit, action, body).await;
            if found != expected {
                faults.push(format!("{action} {body}\n  got    {found}\n  not as {expected}"));
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

on_every_store!(nothing_crosses_through_any_action, nothing_crosses);

#[test]
fn every_action_is_tried() {
    let served: BTreeSet<&str> = zaqar_server::websocket::actions().collect();
    let known: Vec<&str> = ROWS.iter().map(|row| row.0).chain(OF_NOBODY.iter().copied()).collect();
    let tried: BTreeSet<&str> = known.iter().copied().collect();
    assert_eq!(known.len(), tried.len(), "something is named twice");
    assert_eq!(served, tried);
}

/// That the tests above would notice: each action in turn forgets to look at the project.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn an_action_that_looks_at_no_project_would_be_noticed() {
    crate::server::on(crate::stores::Store::File, async |server: &Server| {
        for (action, _) in ROWS {
            let faults = attack(server, Kit::Bare, Some(action)).await;
            assert!(!faults.is_empty(), "nobody notices a hole in {action}");
        }
    })
    .await;
}
