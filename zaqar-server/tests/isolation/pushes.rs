//! What is posted reaches the project's own subscribers and no others, whatever queues are called.

use serde_json::{Value, json};

use crate::server::{Server, on_every_store};
use crate::tenant::{Socket, Tenant};
use crate::things::{Names, fresh};

/// A project whose socket is subscribed to a queue of its own.
struct Subscribed {
    tenant: Tenant,
    socket: Socket,
    queue: String,
}

impl Subscribed {
    async fn new(server: &Server, queue: &str) -> Self {
        let tenant = server.tenant(format!("project-{}", fresh())).await;
        let mut socket = server.socket(tenant.project()).await;
        socket.does("subscription_create", json!({"queue_name": queue, "ttl": 600})).await;
        Self { tenant, socket, queue: queue.to_owned() }
    }

    /// Posts, and sees that just this is pushed to it, and nothing before.
    async fn posts(&mut self, body: Value) {
        let line = format!("POST /v2/queues/{}/messages", self.queue);
        self.tenant.does(&line, &json!({"messages": [{"body": body, "ttl": 600}]})).await;
        let pushed = self.socket.receives().await;
        assert_eq!(pushed["body"], body, "{pushed}");
    }
}

async fn each_gets_its_own(server: &Server) {
    let names = Names::fresh();
    let mut one = Subscribed::new(server, &names.queue).await;
    let mut other = Subscribed::new(server, &names.queue).await;
    for n in 0..3 {
        one.posts(json!({"of": "one", "n": n})).await;
        other.posts(json!({"of": "other", "n": n})).await;
    }
}

on_every_store!(pushes_stay_in_their_project, each_gets_its_own);
