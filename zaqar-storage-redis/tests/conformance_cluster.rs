//! The conformance suite over a Redis cluster of three masters: one alone would hide what reaches
//! across slots.

mod support;

use support::RedisHarness;
use zaqar_conformance::Availability;
use zaqar_testbed::Service;

zaqar_conformance::main!(|| match zaqar_testbed::uri(Service::RedisCluster) {
    Some(uri) => Availability::from(RedisHarness::new(uri, "cluster")),
    None => Availability::Absent {
        backend: "redis-cluster",
        variable: "ZAQAR_TEST_REDIS_CLUSTER_URI",
        hint: "redis+cluster://127.0.0.1:7000,127.0.0.1:7001,127.0.0.1:7002/, or \
               `cargo xtask services up`",
    },
});
