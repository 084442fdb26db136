//! Limits of projects, from the configuration to what the operator sees.

use http::{Method, StatusCode};
use zaqar_server::config::Layers;

use crate::support::client::Client;
use crate::{POST, Server};

const CONFIG: &str = "[limits.projects.small]\nqueues = 1\nmessages = 2\n\
                      [limits.projects.slow]\nrequests_per_second = 1\n";
const QUEUE: &str = "/v2/queues/q/messages";

#[tokio::test]
async fn what_is_configured_for_one_project_holds_for_it_alone_and_refusals_are_counted() {
    let limits = Layers::new().text("zaqar.toml", CONFIG).unwrap().load().unwrap();
    let server = Server::start(|config| config.project_limits = limits.project_limits).await;
    let server = server.unwrap();
    let mut client = server.client().await.unwrap();
    let mut status = async |project: &str, method: Method, path: &str, body: &'static str| {
        client.project = project.to_owned();
        client.call(method, path, body).await.unwrap().status
    };
    for (project, third) in [("small", StatusCode::FORBIDDEN), ("other", StatusCode::CREATED)] {
        for expected in [StatusCode::CREATED, StatusCode::CREATED, third] {
            assert_eq!(status(project, Method::POST, QUEUE, POST).await, expected, "{project}");
        }
        let made = status(project, Method::PUT, "/v2/queues/r", "").await;
        assert_eq!(made, third, "{project}");
    }
    // The server's clock runs: only who asks again within a second is too early, so it asks often.
    let mut answers = Vec::new();
    while !answers.contains(&StatusCode::SERVICE_UNAVAILABLE) && answers.len() < 10_000 {
        answers.push(status("slow", Method::GET, "/v2/queues", "").await);
    }
    assert!(answers.contains(&StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(answers.first(), Some(&StatusCode::OK));
    assert_eq!(status("other", Method::GET, "/v2/queues", "").await, StatusCode::OK);

    let mut operator = Client::connect(server.running.admin_address().unwrap()).await.unwrap();
    let metrics = operator.get("/metrics").await.unwrap().text();
    for limit in ["queues", "messages", "requests_per_second"] {
        let series = format!("zaqar_limit_refusals_total{{limit=\"{limit}\"}}");
        assert!(metrics.contains(&series), "{series} is not in {metrics}");
    }
    assert!(!metrics.contains("small"), "{metrics}");
    server.stop().await;
}
