//! The conformance suite over one Redis server.

mod support;

use support::RedisHarness;
use zaqar_conformance::Availability;
use zaqar_testbed::Service;

zaqar_conformance::main!(|| match zaqar_testbed::uri(Service::Redis) {
    Some(uri) => Availability::from(RedisHarness::new(uri, "server")),
    None => Availability::Absent {
        backend: "redis",
        variable: "ZAQAR_TEST_REDIS_URI",
        hint: "redis://127.0.0.1:6379/, or `cargo xtask services up`",
    },
});
