//! What the program prints once it serves.

use std::net::SocketAddr;

use crate::serve::RunningServer;

/// Where it listens, where the data is, and a command that posts a first message.
pub(crate) fn banner(server: &RunningServer) -> String {
    let url = server.url();
    let facts = (url.as_str(), server.location(), server.admin_address());
    text(facts, server.asks_for_tokens())
}

fn text((url, location, admin): (&str, &str, Option<SocketAddr>), asks_for_tokens: bool) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("zaqar-server {version} listens on {url}\ndata:    {location}\n");
    if let Some(admin) = admin {
        text.push_str(&format!("metrics: http://{admin}/metrics (also /livez and /readyz)\n"));
    }
    let caller = if asks_for_tokens {
        text.push_str("post a first message, with a token that Keystone gave you in OS_TOKEN\n");
        text.push_str("(OS_TOKEN=$(openstack token issue -f value -c id)):\n");
        "-H \"X-Auth-Token: $OS_TOKEN\""
    } else {
        text.push_str("post a first message:\n");
        "-H 'X-Project-ID: demo'"
    };
    text.push_str(&format!(
        "curl -i -X POST {url}/v2/queues/demo/messages \
         -H 'Client-ID: 3381af92-2b9e-11e3-b191-71861300734c' {caller} \
         -H 'Content-Type: application/json' \
         -d '{{\"messages\": [{{\"body\": \"hello\", \"ttl\": 3600}}]}}'\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_says_who_asks_as_the_server_wants_to_be_told() {
        let facts = ("http://127.0.0.1:8888", "/data/zaqar.db", None);
        let (believed, known) = (text(facts, false), text(facts, true));
        assert!(believed.contains("-H 'X-Project-ID: demo'") && !believed.contains("Token"));
        // In double quotes, or the shell would send the variable's name.
        assert!(known.contains("-H \"X-Auth-Token: $OS_TOKEN\"") && !known.contains("Project-ID"));
        for text in [believed, known] {
            assert!(text.lines().last().is_some_and(|line| line.starts_with("curl ")), "{text}");
        }
    }
}
