//! What the log is told.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::stub::{Mood, PASSWORD};
use crate::world::{World, token};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_and_no_password_is_ever_in_the_log_whatever_happens() {
    const SECRET: &str = "gAAAAABsecretsecretsecret";
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
    let subscriber = tracing_subscriber::registry().with(LevelFilter::TRACE).with(lines);
    // For all threads: one that logs first without a subscriber would silence the place for good.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mut world = World::new();
    world.stub.issue(SECRET, "p", &["member"], 3_600);
    world.keystone.authenticate(&token(SECRET)).await.unwrap();
    world.stub.end_own_token();
    world.advance_s(301);
    let echo = format!(r#"{{"token": {{"user": "{SECRET}", "expires_at": "{SECRET}"}}}}"#);
    for mood in [Mood::Well, Mood::Nonsense(echo), Mood::Status(500), Mood::Status(401)] {
        world.stub.be(mood);
        let asked = world.keystone.authenticate(&token(SECRET)).await;
        tracing::trace!(keystone = ?world.keystone, ?asked, token = ?token(SECRET), "asked");
        world.advance_s(301);
    }
    world.stub.end();
    assert!(world.keystone.authenticate(&token(SECRET)).await.is_err());

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for told in ["logged in at Keystone", "Keystone cannot be asked", "Token(***)"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    for secret in [SECRET, "own-token-", PASSWORD] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}
