//! The operators' listener.

use http::{Method, StatusCode};

use crate::support::client::Client;
use crate::{POST, Server};

#[tokio::test]
async fn operators_see_that_it_lives_is_ready_and_what_it_did() {
    let server = Server::start(|_| {}).await.unwrap();
    let mut client = server.client().await.unwrap();
    let posted = client.call(Method::POST, "/v2/queues/q/messages", POST).await.unwrap();
    assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.text());
    assert!(posted.headers.contains_key("x-openstack-request-id"));

    let mut operator = Client::connect(server.running.admin_address().unwrap()).await.unwrap();
    assert_eq!(operator.get("/livez").await.unwrap().status, StatusCode::OK);
    let ready = operator.get("/readyz").await.unwrap();
    assert_eq!(ready.status, StatusCode::OK, "{}", ready.text());
    let metrics = operator.get("/metrics").await.unwrap().text();
    let counted = metrics.lines().any(|line| {
        line.starts_with("zaqar_http_requests_total")
            && line.contains("/messages\"")
            && line.contains("method=\"POST\"")
            && line.contains("status=\"201\"")
    });
    assert!(counted, "{metrics}");
    assert!(metrics.contains("zaqar_http_request_duration_seconds_bucket"), "{metrics}");
    assert!(metrics.contains("zaqar_connections{listener=\"api\"}"), "{metrics}");
    // A name that a client makes up is no series of its own.
    client.get("/v2/nothing/of-the-kind").await.unwrap();
    let metrics = operator.get("/metrics").await.unwrap().text();
    assert!(metrics.contains("route=\"none\"") && !metrics.contains("of-the-kind"), "{metrics}");
    server.stop().await;
}

#[tokio::test]
async fn without_an_address_there_is_no_operators_listener() {
    let server = Server::start(|config| config.admin.bind.clear()).await.unwrap();
    assert_eq!(server.running.admin_address(), None);
    server.stop().await;
}

#[tokio::test]
async fn the_api_does_not_serve_what_is_for_operators() {
    let server = Server::start(|_| {}).await.unwrap();
    let mut client = server.client().await.unwrap();
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(client.get(path).await.unwrap().status, StatusCode::NOT_FOUND);
    }
    server.stop().await;
}
