//! What the program prints once it serves.

use crate::serve::RunningServer;

/// Where it listens, where the data is, and a command that posts a first message.
pub(crate) fn banner(server: &RunningServer) -> String {
    let url = server.url();
    let mut text = format!(
        "zaqar-server {} listens on {url}\ndata:    {}\n",
        env!("CARGO_PKG_VERSION"),
        server.location()
    );
    if let Some(admin) = server.admin_address() {
        text.push_str(&format!("metrics: http://{admin}/metrics (also /livez and /readyz)\n"));
    }
    text.push_str("post a first message:\n");
    text.push_str(&format!(
        "curl -i -X POST {url}/v2/queues/demo/messages \
         -H 'Client-ID: 3381af92-2b9e-11e3-b191-71861300734c' -H 'X-Project-ID: demo' \
         -H 'Content-Type: application/json' \
         -d '{{\"messages\": [{{\"body\": \"hello\", \"ttl\": 3600}}]}}'\n"
    ));
    text
}
