//! Web heads and their store are killed with SIGKILL while messages go to twenty-five webhook
//! subscribers, good and bad, and no notification is lost: each message reaches each subscription, or
//! is on record as given up.
//!
//! `ZAQAR_NOTIFY_MESSAGES` sets how many messages are posted (60 unless set), `ZAQAR_NOTIFY_STRIKES`
//! how often something is killed (4, or 2 where there is but one process), `ZAQAR_NOTIFY_SEED` the
//! plan.

#[path = "../support/mod.rs"]
mod support;

mod history;
mod load;
mod receiver;
mod trial;
mod verdict;
mod world;

use trial::Size;
use world::Store;
use zaqar_testbed::Service;

/// A small generator of numbers (splitmix64): the plan needs no better one.
struct Plan(u64);

impl Plan {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, (from, to): (u64, u64)) -> u64 {
        from + self.next() % (to - from + 1)
    }
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn survives(store: Store) -> anyhow::Result<()> {
    let strikes = match store {
        #[cfg(feature = "sqlite")]
        Store::Sqlite => 2,
        Store::Servers(_) => 4,
    };
    let size = Size {
        messages: setting("ZAQAR_NOTIFY_MESSAGES", 60),
        strikes: setting("ZAQAR_NOTIFY_STRIKES", strikes),
        seed: setting("ZAQAR_NOTIFY_SEED", 0x5eed) as u64,
    };
    trial::run(store, size).await
}

#[cfg(any(feature = "postgres", feature = "mysql", feature = "redis", feature = "mongo"))]
async fn survives_on(service: Service) -> anyhow::Result<()> {
    if zaqar_testbed::installed_unless_absent(service)? {
        survives(Store::Servers(service)).await?;
    }
    Ok(())
}

macro_rules! trials {
    ($($feature:literal: $fact:ident($store:expr);)*) => {$(
        #[cfg(feature = $feature)]
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $fact() -> anyhow::Result<()> {
            $store.await
        }
    )*};
}

trials! {
    "sqlite": no_notification_is_lost_on_sqlite(survives(Store::Sqlite));
    "postgres": no_notification_is_lost_on_postgres(survives_on(Service::Postgres));
    "mysql": no_notification_is_lost_on_mysql(survives_on(Service::Mysql));
    "redis": no_notification_is_lost_on_redis(survives_on(Service::Redis));
    "redis": no_notification_is_lost_on_a_redis_cluster(survives_on(Service::RedisCluster));
    "mongo": no_notification_is_lost_on_mongodb(survives_on(Service::Mongo));
}
