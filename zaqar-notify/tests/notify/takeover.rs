//! Several notifiers on one store, and what happens when one dies.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::receiver::{Answer, Receiver};
use crate::world::{LEASE, World, until};

#[tokio::test]
async fn two_notifiers_share_the_work_and_do_none_of_it_twice() {
    let (world, receiver) = (World::new().await, Receiver::ok().await);
    for number in 0..10 {
        world.subscribe(&format!("{}/{number}", receiver.url()), json!({})).await;
    }
    let (one, other) = (world.notifier(), world.notifier());
    for number in 0..20 {
        world.post(number..number + 1).await;
        one.poke();
        other.poke();
    }
    // Ten are more than one host gets at a time: who waited in vain comes again a second later.
    world.done(Duration::from_millis(50)).await;
    one.stop().await;
    other.stop().await;
    let ids: BTreeSet<_> = receiver.received().iter().map(|r| r.id().to_owned()).collect();
    assert_eq!((ids.len(), receiver.count()), (200, 200));
}

#[tokio::test]
async fn what_a_killed_notifier_was_delivering_is_delivered_by_another() {
    let world = World::new().await;
    let receiver = Receiver::new(|_, before| match before {
        0 => Answer::Hang,
        _ => Answer::Status(200),
    })
    .await;
    world.subscribe(&receiver.url(), json!({})).await;
    world.post(0..5).await;
    // Everything that runs in it ends at once, as in a process that is killed.
    let process =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let killed = {
        let _inside = process.enter();
        world.notifier()
    };
    until("it is delivering", async || receiver.count() == 1).await;
    process.shutdown_background();
    drop(killed);

    world.clock.advance(LEASE);
    let notifier = world.notifier();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    assert_eq!(receiver.bodies(), [0, 0, 1, 2, 3, 4]);
    let received = receiver.received();
    assert_eq!(received[0].id(), received[1].id());
}

#[tokio::test]
async fn a_notifier_that_is_stopped_leaves_no_lease_behind() {
    let (world, receiver) = (World::new().await, Receiver::ok().await);
    world.subscribe(&receiver.url(), json!({})).await;
    for number in 0..20 {
        world.post(number..number + 1).await;
        let notifier = world.notifier();
        until("it was delivered", async || receiver.bodies().contains(&number.into())).await;
        notifier.stop().await;
    }
    // The clock stood still all the time: a lease that was left would never have ended.
    assert_eq!(receiver.count(), 20);
}
