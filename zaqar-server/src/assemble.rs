//! What each part of the server needs to know of the configuration.

use std::sync::Arc;
use std::time::Duration;

use zaqar_auth::policy::Policy;
use zaqar_core::Clock;
use zaqar_engine::pools::RegistryOpener;
use zaqar_engine::stages::EncryptionKeys;
use zaqar_engine::{EngineConfig, PoolOptions};

use crate::auth::Authentication;
use crate::config::Config;
use crate::config::options::ClientIdCheck;
use crate::limits::{self, RateLimits};
use crate::rest::{ClientIdRule, CorsConfig, RestConfig};
use crate::server::activity::Timeouts;
use crate::server::answers::{AnswerHeaders, strict_transport};
use crate::server::connection::ConnectionLimits;
use crate::server::gate::Gate;
use crate::server::listener::ListenerConfig;
use crate::server::request::RequestTimeouts;
use crate::signed_url::UrlSigner;
use crate::telemetry::metrics::HttpMetrics;
use crate::websocket::WebSocketConfig;

/// How the engine uses pools, if there are any.
pub(crate) fn pools(config: &Config) -> Option<PoolOptions> {
    let opener = RegistryOpener::new().unreliable(config.general.unreliable);
    let pools = PoolOptions::new(Arc::new(opener));
    config.general.pooling.then(|| pools.virtual_pool(config.catalog.enable_virtual_pool))
}

/// The engine's settings.
pub(crate) fn engine(config: &Config) -> EngineConfig {
    let transport = &config.transport;
    let mut engine = EngineConfig::default();
    engine.unreliable = config.general.unreliable;
    engine.enable_checksum = config.general.enable_checksum;
    // The check of the configuration has refused what cannot be read.
    engine.encryption = EncryptionKeys::parse(config.encryption.keys.expose()).unwrap_or_default();
    engine.quotas = limits::settings::quotas(config);
    engine.queue_cache_ttl = Duration::from_millis(config.cache.queue_ttl_ms);
    engine.operation_timeout = Duration::from_millis(config.limits.operation_timeout_ms);

    let rate = config.migration.max_messages_per_second;
    engine.moves.messages_per_second_max = (rate > 0).then_some(rate);
    engine.moves.messages_per_part = config.migration.messages_per_part;

    let defaults = &mut engine.defaults;
    defaults.message_ttl = transport.default_message_ttl;
    defaults.message_delay = transport.default_message_delay;
    defaults.claim_ttl = transport.default_claim_ttl;
    defaults.claim_grace = transport.default_claim_grace;
    defaults.subscription_ttl = transport.default_subscription_ttl;
    engine.subscribers.types.clone_from(&transport.subscriber_types.0);
    engine.subscribers.require_confirmation = config.notification.require_confirmation;

    let limits = &mut engine.limits;
    limits.message_ttl_max = transport.max_message_ttl;
    limits.message_delay_max = transport.max_message_delay;
    limits.claim_ttl_max = transport.max_claim_ttl;
    limits.claim_grace_max = transport.max_claim_grace;
    limits.messages_post_size_max = transport.max_messages_post_size;
    limits.messages_per_post_max = u64::from(transport.max_messages_per_post);
    limits.queue_metadata_size_max = transport.max_queue_metadata;
    limits.queues_per_page_max = u64::from(transport.max_queues_per_page);
    limits.messages_per_page_max = u64::from(transport.max_messages_per_page);
    limits.messages_per_claim_or_pop_max = u64::from(transport.max_messages_per_claim_or_pop);
    limits.subscriptions_per_page_max = u64::from(transport.max_subscriptions_per_page);
    limits.pools_per_page_max = u64::from(transport.max_pools_per_page);
    limits.flavors_per_page_max = u64::from(transport.max_flavors_per_page);
    // A wait must be over, and what it ends with answered, before the request is given up.
    limits.wait_max = u64::from(transport.max_wait).min(config.limits.request_timeout_ms / 2_000);
    engine
}

/// What pages of other origins may do.
fn cors(config: &Config) -> CorsConfig {
    let mut cors = CorsConfig::default();
    cors.allowed_origin.clone_from(&config.cors.allowed_origin.0);
    cors.allow_credentials = config.cors.allow_credentials;
    cors.expose_headers.clone_from(&config.cors.expose_headers.0);
    cors.max_age = u64::from(config.cors.max_age);
    cors.allow_methods.clone_from(&config.cors.allow_methods.0);
    cors.allow_headers.clone_from(&config.cors.allow_headers.0);
    cors
}

/// The REST transport's settings.
pub(crate) fn rest(
    config: &Config,
    policy: &Arc<Policy>,
    authentication: Authentication,
) -> RestConfig {
    let transport = &config.transport;
    RestConfig {
        admin_mode: config.general.admin_mode,
        client_id: match transport.client_id_uuid_safe {
            ClientIdCheck::Strict => ClientIdRule::Strict,
            ClientIdCheck::Off => ClientIdRule::Off {
                length_min: length(transport.min_length_client_id),
                length_max: length(transport.max_length_client_id),
            },
        },
        message_delete_with_claim_id: transport.message_delete_with_claim_id,
        url_signer: UrlSigner::new(config.signed_url.secret_key.expose()),
        authentication,
        policy: Arc::clone(policy),
        cors: cors(config),
        // They run on the engine's clock, and there is none yet.
        rates: RateLimits::default(),
    }
}

/// How often projects may ask.
pub(crate) fn rates(config: &Config, clock: &Arc<dyn Clock>) -> RateLimits {
    RateLimits::new(limits::settings::rates(config), Arc::clone(clock))
}

/// The WebSocket transport's settings; what it shares with the REST transport is the same.
pub(crate) fn websocket(config: &Config, rest: &RestConfig) -> WebSocketConfig {
    let options = &config.websocket;
    WebSocketConfig {
        client_id: rest.client_id,
        message_delete_with_claim_id: rest.message_delete_with_claim_id,
        url_signer: rest.url_signer.clone(),
        authentication: rest.authentication.clone(),
        policy: Arc::clone(&rest.policy),
        rates: rest.rates.clone(),
        allowed_origin: options.allowed_origin.0.clone(),
        is_secured: config.tls.is_on(),
        external_port: (options.external_port > 0).then_some(options.external_port),
        message_bytes_max: u64::from(options.max_message_bytes),
        connections_max: length(options.max_connections),
        ping_period: Duration::from_millis(options.ping_period_ms),
        idle_timeout: Duration::from_millis(options.idle_timeout_ms),
        ..WebSocketConfig::default()
    }
}

fn length(chars: u32) -> usize {
    usize::try_from(chars).unwrap_or(usize::MAX)
}

/// The settings of the API's listener.
pub(crate) fn listener(config: &Config) -> ListenerConfig {
    let limits = &config.limits;
    let connections_max = limits.connections_max.min(open_files_connections());
    let gate = Gate::new(connections_max, limits.connections_per_peer_max);
    listener_config(config, "api", gate)
}

/// The settings of the WebSocket transport's own listener.
pub(crate) fn websocket_listener(config: &Config) -> ListenerConfig {
    let limits = &config.limits;
    let connections_max = config.websocket.max_connections.min(open_files_connections());
    let gate = Gate::new(connections_max, limits.connections_per_peer_max);
    listener_config(config, "websocket", gate)
}

/// The settings of the operators' listener: few connections, which the API's cannot use up.
pub(crate) fn admin_listener(config: &Config) -> ListenerConfig {
    const CONNECTIONS_MAX: u32 = 32;
    let mut listener = listener_config(config, "admin", Gate::new(CONNECTIONS_MAX, 0));
    listener.answers = Arc::default();
    listener
}

fn listener_config(config: &Config, name: &'static str, gate: Gate) -> ListenerConfig {
    let limits = &config.limits;
    let ms = Duration::from_millis;
    let timeouts = Timeouts {
        header_read: ms(limits.header_read_timeout_ms),
        idle: ms(limits.idle_timeout_ms),
        write: ms(limits.write_timeout_ms),
    };
    ListenerConfig {
        limits: ConnectionLimits {
            timeouts,
            header_bytes_max: limits.header_bytes_max,
            header_count_max: limits.header_count_max,
            http2_streams_max: limits.http2_streams_max,
        },
        request: RequestTimeouts {
            whole: ms(limits.request_timeout_ms),
            body_rate_min: limits.body_rate_min_bytes_per_s,
            body_rate_grace: ms(limits.body_rate_grace_ms),
        },
        slow: ms(config.log.slow_request_ms),
        gate,
        metrics: HttpMetrics::new(name),
        answers: Arc::new(answers(config)),
        tls: None,
    }
}

/// What the answers of the API say besides what they are about.
fn answers(config: &Config) -> AnswerHeaders {
    let cors = (!config.cors.allowed_origin.0.is_empty()).then(|| Arc::new(cors(config)));
    let strict = strict_transport(config.tls.hsts_max_age).filter(|_| config.tls.is_on());
    AnswerHeaders { strict_transport: strict, cors, request_ids: true }
}

/// How many connections the process may have open, a reserve for files of the store left out.
fn open_files_connections() -> u32 {
    const RESERVE: u32 = 64;
    const LEAST: u32 = 16;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    open_files(&limits).map_or(u32::MAX, |files| files.saturating_sub(RESERVE).max(LEAST))
}

/// The soft limit of open files in the text of `/proc/self/limits`; `None` if there is none.
fn open_files(limits: &str) -> Option<u32> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_here_are_the_defaults_of_the_parts() {
        let config = Config::default();
        assert_eq!(format!("{:?}", engine(&config)), format!("{:?}", EngineConfig::default()));
        assert_eq!(
            format!("{:?}", rest(&config, &Arc::default(), Authentication::None)),
            format!("{:?}", RestConfig::default())
        );
        let rest = rest(&config, &Arc::default(), Authentication::None);
        let websocket = websocket(&config, &rest);
        assert_eq!(format!("{websocket:?}"), format!("{:?}", WebSocketConfig::default()));
    }

    #[test]
    fn the_limit_of_open_files_is_read() {
        let text = "Limit  Soft Limit  Hard Limit  Units\n\
                    Max open files            1024                 524288               files\n";
        assert_eq!(open_files(text), Some(1024));
        assert_eq!(open_files("Max open files  unlimited unlimited files"), None);
        assert_eq!(open_files(""), None);
    }
}
