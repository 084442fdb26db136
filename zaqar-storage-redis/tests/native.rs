//! What is peculiar to Redis: its settings, its script cache, its memory, its connections, its slots.
//! Each test has servers of its own.

use std::sync::Arc;

use redis::Value;
use redis::aio::MultiplexedConnection;
use zaqar_core::{
    Body, ClaimId, Clock, CreateClaim, Effect, Error, GcOptions, ManualClock, NewMessage,
    OpenError, PageLimit, PostMessages, ProjectId, QueueKey, QueueName, QueueRef, Ttl,
};
use zaqar_storage_redis::{OpenOptions, RedisDrivers};
use zaqar_testbed::{Backend, Cut, Options, Service};

fn server(arguments: &[&str]) -> anyhow::Result<Backend> {
    Backend::start(Service::Redis, Options::new().arguments(arguments.iter().copied()))
}

fn options() -> OpenOptions {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    OpenOptions::new(clock)
}

async fn open(uri: &str) -> Result<RedisDrivers, OpenError> {
    zaqar_storage_redis::open(uri, options()).await
}

async fn raw(backend: &Backend) -> anyhow::Result<MultiplexedConnection> {
    Ok(redis::Client::open(backend.uri())?.get_multiplexed_async_connection().await?)
}

async fn tell(connection: &mut MultiplexedConnection, command: &str) -> anyhow::Result<Value> {
    let mut words = command.split(' ');
    let mut told = redis::cmd(words.next().unwrap_or_default());
    words.for_each(|word| {
        told.arg(word);
    });
    Ok(told.query_async(connection).await?)
}

async fn queue(drivers: &RedisDrivers, name: &str) -> anyhow::Result<QueueRef> {
    let key = QueueKey::queue(ProjectId::new("p")?, QueueName::new(name)?);
    let queue = key.incarnate(drivers.control.queues().queue_allocate_incarnation().await?);
    drivers.data.heads().head_open(&queue).await?;
    Ok(queue)
}

fn messages(count: usize) -> anyhow::Result<Vec<NewMessage>> {
    let body = Body::from_json("{}")?;
    Ok(vec![NewMessage::new(body, Ttl::from_secs(600)?); count])
}

async fn post(
    drivers: &RedisDrivers,
    queue: &QueueRef,
    count: usize,
) -> anyhow::Result<Result<(), Error>> {
    let posted = drivers.data.messages().message_post(queue, messages(count)?, PostMessages::new());
    Ok(posted.await.map(drop))
}

async fn total(drivers: &RedisDrivers, queue: &QueueRef) -> anyhow::Result<u64> {
    Ok(drivers.data.messages().message_stats(queue).await?.total())
}

fn check_refused(
    opened: Result<RedisDrivers, OpenError>,
    named: &str,
    is: &str,
    must_be: &str,
) -> anyhow::Result<()> {
    let refused = opened.err();
    let Some(OpenError::Unsafe { setting, value, safe }) = refused else {
        anyhow::bail!("{named} = {is} was answered with {refused:?}");
    };
    assert_eq!((setting.as_str(), value.as_str(), safe.as_str()), (named, is, must_be));
    Ok(())
}

#[tokio::test]
async fn each_unsafe_setting_is_refused_by_name_and_let_through_on_demand() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let mut raw = raw(&backend).await?;
    for (setting, unsafe_value, safe_value) in [
        ("appendfsync", "everysec", "always"),
        ("appendfsync", "no", "always"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("maxmemory-policy", "volatile-lru", "noeviction"),
        ("appendonly", "no", "yes"),
    ] {
        tell(&mut raw, &format!("CONFIG SET {setting} {unsafe_value}")).await?;
        check_refused(open(&backend.uri()).await, setting, unsafe_value, safe_value)?;
        let opened = zaqar_storage_redis::open(&backend.uri(), options().unreliable(true)).await?;
        let health = opened.data.health().await?;
        assert!(
            !health.safe && health.warnings.iter().any(|text| text.contains(setting)),
            "{health:?}"
        );
        opened.data.close().await;
        tell(&mut raw, &format!("CONFIG SET {setting} {safe_value}")).await?;
    }
    let opened = open(&backend.uri()).await?;
    let health = opened.data.health().await?;
    assert!(health.safe && health.warnings.is_empty(), "{health:?}");
    Ok(())
}

#[tokio::test]
async fn a_downgrade_under_way_is_seen_and_new_connections_are_refused() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let drivers = open(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    let mut raw = raw(&backend).await?;
    tell(&mut raw, "CONFIG SET appendonly no").await?;
    assert!(!drivers.data.health().await?.safe);
    // The store's connection is cut; the next one meets the settings as they are now.
    tell(&mut raw, "CLIENT KILL TYPE normal SKIPME yes").await?;
    let mut refused = post(&drivers, &queue, 1).await?;
    while refused.as_ref().is_err_and(|error| error.effect() == Effect::Unknown) {
        refused = post(&drivers, &queue, 1).await?;
    }
    let error = refused.expect_err("the server is unsafe now");
    assert_eq!(error.effect(), Effect::None, "{error:?}");
    let health = drivers.data.health().await?;
    let named = health.warnings.iter().any(|text| text.contains("appendonly"));
    assert!(!health.safe && named, "{health:?}");
    tell(&mut raw, "CONFIG SET appendonly yes").await?;
    post(&drivers, &queue, 1).await??;
    assert_eq!(total(&drivers, &queue).await?, 1);
    Ok(())
}

#[tokio::test]
async fn settings_that_cannot_be_read_are_refused_unless_attested() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let mut raw = raw(&backend).await?;
    tell(&mut raw, "ACL SETUSER zaqar on >pw ~* +@all -config").await?;
    let uri = backend.uri().replace("redis://", "redis://zaqar:pw@");
    let refused = open(&uri).await.err();
    let unknown = matches!(&refused, Some(OpenError::Unsafe { value, .. }) if value == "unknown");
    assert!(unknown, "{refused:?}");
    let attested = format!("{uri}?attest=appendfsync,no-appendfsync-on-rewrite");
    let drivers = open(&attested).await?;
    assert!(drivers.data.health().await?.safe);
    assert!(!drivers.data.info().location.contains("pw"), "{:?}", drivers.data.info());
    Ok(())
}

#[tokio::test]
async fn scripts_come_back_after_the_server_forgot_them() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let drivers = open(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    let mut raw = raw(&backend).await?;
    for round in 1..=3 {
        tell(&mut raw, "SCRIPT FLUSH").await?;
        post(&drivers, &queue, 2).await??;
        assert_eq!(total(&drivers, &queue).await?, 2 * round, "each post was stored once");
    }
    Ok(())
}

#[tokio::test]
async fn a_full_server_stores_nothing_of_a_post_and_can_be_emptied() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let drivers = open(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    post(&drivers, &queue, 20).await??;
    let mut raw = raw(&backend).await?;
    tell(&mut raw, "CONFIG SET maxmemory 1").await?;
    let before = tell(&mut raw, "DBSIZE").await?;
    let error = post(&drivers, &queue, 5).await?.expect_err("there is no memory");
    assert_eq!(error.effect(), Effect::None, "{error:?}");
    assert_eq!(total(&drivers, &queue).await?, 20);
    assert_eq!(tell(&mut raw, "DBSIZE").await?, before);
    // Consumers are let through: nobody else makes room.
    let claim = ClaimId::random();
    let options =
        CreateClaim::new(claim, Ttl::from_secs(60)?, Ttl::ZERO).limit(PageLimit::new(10)?);
    let claimed = drivers.data.claims().claim_create(&queue, options).await?;
    assert_eq!(claimed.messages.len(), 10);
    for message in &claimed.messages {
        drivers.data.messages().message_delete(&queue, message.id, Some(claim)).await?;
    }
    assert_eq!(drivers.data.messages().message_pop(&queue, PageLimit::new(10)?).await?.len(), 10);
    assert_eq!(total(&drivers, &queue).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_demoted_server_refuses_without_effect() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let drivers = open(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    post(&drivers, &queue, 1).await??;
    let mut raw = raw(&backend).await?;
    tell(&mut raw, "REPLICAOF 127.0.0.1 1").await?;
    let error = post(&drivers, &queue, 1).await?.expect_err("it is a replica");
    assert_eq!(error.effect(), Effect::None, "{error:?}");
    let health = drivers.data.health().await?;
    let named = health.warnings.iter().any(|text| text.contains("role is slave, must be master"));
    assert!(!health.safe && named, "{health:?}");
    check_refused(open(&backend.uri()).await, "role", "slave", "master")?;
    tell(&mut raw, "REPLICAOF NO ONE").await?;
    post(&drivers, &queue, 1).await??;
    assert_eq!(total(&drivers, &queue).await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_cut_connection_leaves_a_post_in_doubt_and_sends_nothing_twice() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let proxy = backend.proxy()?;
    let uri = backend.uri_through(&proxy).expect("one server is reached through a proxy");
    let drivers = open(&uri).await?;
    let queue = queue(&drivers, "q").await?;
    // The server knows the script from here on: a request that loads one stores nothing yet.
    post(&drivers, &queue, 1).await??;
    for (cut, stored) in [(Cut::BeforeReply, 3), (Cut::MidRequest { bytes: 40 }, 0)] {
        let before = total(&drivers, &queue).await?;
        proxy.arm(cut);
        let error = post(&drivers, &queue, 3).await?.expect_err("the connection was cut");
        assert_eq!(error.effect(), Effect::Unknown, "{cut:?}: {error:?}");
        assert_eq!(total(&drivers, &queue).await?, before + stored, "after {cut:?}");
    }
    let fired = proxy.fired();
    assert_eq!((fired.before_reply, fired.mid_request), (1, 1), "both cuts struck");
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_a_post_in_doubt() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let proxy = backend.proxy()?;
    let uri = backend.uri_through(&proxy).expect("one server is reached through a proxy");
    let uri = format!("{uri}?response_timeout_ms=300&wait_timeout_ms=100");
    let drivers = open(&uri).await?;
    let queue = queue(&drivers, "q").await?;
    proxy.black_hole(true);
    let error = post(&drivers, &queue, 3).await?.expect_err("nothing answers");
    assert_eq!(error.effect(), Effect::Unknown, "{error:?}");
    proxy.heal();
    // The stuck connection was replaced: what was held arrives once, or is lost with it.
    post(&drivers, &queue, 1).await??;
    let left = total(&drivers, &queue).await?;
    assert!(left == 1 || left == 4, "{left} messages of three in doubt and one more");
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_away_refuses_without_effect() -> anyhow::Result<()> {
    let mut backend = server(&[])?;
    let drivers = open(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    backend.kill()?;
    // The first one may have been on its way when the server was killed.
    post(&drivers, &queue, 1).await?.expect_err("the server is dead");
    let error = post(&drivers, &queue, 1).await?.expect_err("the server is dead");
    assert_eq!(error.effect(), Effect::None, "{error:?}");
    backend.restart()?;
    post(&drivers, &queue, 1).await??;
    assert_eq!(total(&drivers, &queue).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_store_that_lost_its_data_is_found_out() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let drivers = open(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    assert!(drivers.data.health().await?.safe);
    let mut raw = raw(&backend).await?;
    tell(&mut raw, "FLUSHALL").await?;
    let health = drivers.data.health().await?;
    assert!(
        !health.safe && health.warnings.iter().any(|text| text.contains("lost data")),
        "{health:?}"
    );
    assert!(post(&drivers, &queue, 1).await?.is_err(), "the queue is gone");
    Ok(())
}

#[tokio::test]
async fn a_store_without_its_record_is_found_out_at_opening() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let drivers = open(&backend.uri()).await?;
    queue(&drivers, "q").await?;
    drivers.data.close().await;
    let mut raw = raw(&backend).await?;
    tell(&mut raw, "UNLINK zaqar:{store}:record").await?;
    let again = open(&backend.uri()).await?;
    assert!(!again.data.health().await?.safe);
    again.data.close().await;
    let third = open(&backend.uri()).await?;
    assert!(!third.data.health().await?.safe, "it was forgotten by the next opening");
    Ok(())
}

#[tokio::test]
async fn waiting_for_replicas_that_are_not_there_leaves_a_post_in_doubt() -> anyhow::Result<()> {
    let backend = server(&["--min-replicas-to-write", "1"])?;
    let mut raw = raw(&backend).await?;
    let uri = format!("{}?wait_replicas=1&wait_timeout_ms=50", backend.uri());
    let refused = open(&uri).await;
    assert!(refused.is_err(), "a store cannot be made where no write is taken: {refused:?}");
    tell(&mut raw, "CONFIG SET min-replicas-to-write 0").await?;
    let refused = open(&uri).await.err();
    let named = matches!(&refused, Some(OpenError::Unsafe { setting, .. }) if setting == "min-replicas-to-write");
    assert!(named, "{refused:?}");
    let unsafe_one = zaqar_storage_redis::open(&uri, options().unreliable(true)).await;
    assert!(unsafe_one.is_err(), "the record was not copied: {unsafe_one:?}");
    Ok(())
}

/// A server that flushes once a second is safe where each answer waits for it; not one that cannot.
#[tokio::test]
async fn waiting_for_the_file_is_refused_where_the_server_cannot() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let mut raw = raw(&backend).await?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut raw).await?;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
    let version = version.unwrap_or_default().trim();
    let uri = format!("{}?wait_aof=1", backend.uri());
    if version.starts_with("6.") || version.starts_with("7.0.") {
        let value = format!("of no use to Redis {version}");
        check_refused(open(&uri).await, "wait_aof", &value, "off before Redis 7.2")?;
    } else {
        tell(&mut raw, "CONFIG SET appendfsync everysec").await?;
        assert!(open(&uri).await?.data.health().await?.safe);
    }
    Ok(())
}

#[tokio::test]
async fn a_deleted_queue_leaves_one_key_and_a_purged_one_nothing_more() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let drivers = open(&backend.uri()).await?;
    let (closed, purged) = (queue(&drivers, "closed").await?, queue(&drivers, "purged").await?);
    for queue in [&closed, &purged] {
        for _ in 0..3 {
            post(&drivers, queue, 1_000).await??;
        }
    }
    drivers.data.heads().head_close(&closed).await?;
    drivers.data.messages().message_purge(&purged).await?;
    while drivers.data.gc(GcOptions::new().rows_max(700)).await?.more {}
    let mut raw = raw(&backend).await?;
    let keys: Vec<String> = redis::cmd("KEYS").arg("zaqar:{b*").query_async(&mut raw).await?;
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.sort_unstable();
    let wanted = [
        // A tombstone; the head of the other queue; the marks of their buckets; the open one's name.
        "zaqar:{b1}:1:h",
        "zaqar:{b1}:mark",
        "zaqar:{b2}:2:h",
        "zaqar:{b2}:mark",
        "zaqar:{b2}:open",
        "zaqar:{b2}:sweep",
    ];
    let left: Vec<&str> = keys.into_iter().filter(|key| !wanted.contains(key)).collect();
    assert!(left.is_empty(), "keys left behind: {left:?}");
    Ok(())
}

#[tokio::test]
async fn no_key_ever_expires_by_itself() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let drivers = open(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    post(&drivers, &queue, 10).await??;
    let claim = CreateClaim::new(ClaimId::random(), Ttl::from_secs(60)?, Ttl::ZERO);
    drivers.data.claims().claim_create(&queue, claim).await?;
    let mut raw = raw(&backend).await?;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut raw).await?;
    assert!(keys.len() > 5, "{keys:?}");
    for key in keys {
        assert_eq!(tell(&mut raw, &format!("TTL {key}")).await?, Value::Int(-1), "{key}");
    }
    Ok(())
}

#[tokio::test]
async fn after_close_operations_are_refused_without_effect() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let drivers = open(&backend.uri()).await?;
    let queue = queue(&drivers, "q").await?;
    drivers.data.close().await;
    let error = post(&drivers, &queue, 1).await?.expect_err("the store is closed");
    assert_eq!(error.effect(), Effect::None);
    assert_eq!(total(&open(&backend.uri()).await?, &queue).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let refused = open(&backend.uri().replace("redis://", "rediss://")).await;
    assert!(matches!(refused, Err(OpenError::Backend { .. })), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_store_that_grows_while_it_is_examined_has_not_lost_anything() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let drivers = open(&backend.uri()).await?;
    let growing = async {
        for number in 0..200 {
            queue(&drivers, &format!("q{number}")).await?;
        }
        anyhow::Ok(())
    };
    let examining = async {
        for _ in 0..50 {
            let health = drivers.data.health().await?;
            assert!(health.safe, "{:?}", health.warnings);
        }
        anyhow::Ok(())
    };
    tokio::try_join!(growing, examining)?;
    Ok(())
}

/// A claim's end as two web heads see it whose clocks are apart, or of which one was faster: what one
/// has put right, the other still takes for claimed.
#[tokio::test]
async fn what_a_clock_ahead_has_released_is_not_held_by_a_clock_behind() -> anyhow::Result<()> {
    let backend = server(&[])?;
    let clocks = [Arc::new(ManualClock::default()), Arc::new(ManualClock::default())];
    let open = |clock: &Arc<ManualClock>| {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
        let uri = backend.uri();
        async move { zaqar_storage_redis::open(&uri, OpenOptions::new(clock)).await }
    };
    let [behind, ahead] = [open(&clocks[0]).await?, open(&clocks[1]).await?];
    let [lease, grace] = [Ttl::from_secs(60)?, Ttl::ZERO];
    for act in ["delete", "bulk delete", "renew", "release", "get"] {
        let queue = queue(&behind, &act.replace(' ', "-")).await?;
        post(&behind, &queue, 3).await??;
        let id = ClaimId::random();
        let claimed = behind.data.claims().claim_create(&queue, CreateClaim::new(id, lease, grace));
        let ids: Vec<_> = claimed.await?.messages.iter().map(|message| message.id).collect();
        clocks[1].advance(std::time::Duration::from_secs(61));
        ahead.data.sweep().await?;
        let (messages, claims) = (behind.data.messages(), behind.data.claims());
        let refused = match act {
            "delete" => messages.message_delete(&queue, ids[0], Some(id)).await.is_err(),
            "bulk delete" => messages.message_bulk_delete(&queue, &ids, Some(&[id])).await.is_err(),
            "renew" => claims.claim_update(&queue, id, lease, grace).await.is_err(),
            "get" => claims.claim_get(&queue, id).await.is_err(),
            _ => claims.claim_delete(&queue, id).await.is_ok(),
        };
        assert!(refused, "{act}: the claim still holds what was released");
        let take = || CreateClaim::new(ClaimId::random(), lease, grace);
        let again = ahead.data.claims().claim_create(&queue, take()).await?;
        assert_eq!(again.messages.len(), 3, "{act}: {again:?}");
        let twice = behind.data.claims().claim_create(&queue, take()).await?;
        assert!(twice.messages.is_empty(), "{act}: claimed twice: {twice:?}");
        let stats = ahead.data.messages().message_stats(&queue).await?;
        assert_eq!((stats.free, stats.claimed), (0, 3), "{act}");
        clocks[0].advance(std::time::Duration::from_secs(61));
    }
    Ok(())
}
