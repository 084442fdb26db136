//! A client that does not read: what it has not taken waits in the store.

use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpSocket;
use zaqar_core::DisciplinedClock;
use zaqar_engine::{StoreOptions, registry};

use crate::client::{Format, soon};
use crate::heads::{Head, Way, fresh_queue};
use crate::stores::Store;

const BYTES: usize = 250_000;
/// Messages that are to wait.
const WAITING: u64 = 20;
/// More than the buffers of two sockets hold, by far.
const MESSAGES_MAX: u64 = 1_000;

#[tokio::test]
async fn what_a_client_does_not_take_waits_in_the_outbox_and_comes_when_it_reads() {
    let folder = tempfile::tempdir().unwrap();
    let uri = Store::File.uri(&folder).unwrap();
    let head = Head::start(&uri).await;
    let clock = Arc::new(DisciplinedClock::from_system());
    // The store as another process sees it.
    let outside = registry::open(&uri, &StoreOptions::new(clock)).await.unwrap();
    let waiting = async || soon(outside.data.outbox().outbox_backlog()).await.unwrap().entries;

    let queue = fresh_queue();
    let subscribe = json!({"queue_name": queue, "ttl": 3_600});
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut slow = head.socket_over(socket, Format::Json).await;
    slow.call("subscription_create", subscribe.clone()).await.expect(201);
    let mut quick = head.socket(Way::OwnPort, Format::Json).await;
    quick.call("subscription_create", subscribe).await.expect(201);

    let text = "x".repeat(BYTES);
    let mut rest = head.rest().await;
    let mut posted = 0;
    // What the buffers of the sockets take is gone; from then on it is the store that holds it.
    while waiting().await < WAITING {
        assert!(posted < MESSAGES_MAX, "nothing waits");
        rest.post(&queue, [json!({"n": posted, "text": text})]).await;
        // Nobody waits for the one that does not read.
        assert_eq!(quick.receive().await.1["body"]["n"], posted);
        posted += 1;
    }
    for number in 0..posted {
        assert_eq!(slow.receive().await.1["body"]["n"], number);
    }
    // What was taken is kept no longer.
    while waiting().await > 0 {
        tokio::task::yield_now().await;
    }
    slow.close().await;
    quick.close().await;
    head.stop().await;
}
