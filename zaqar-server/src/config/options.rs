//! The table of all options: name, type, default, range and meaning, each said once.

use super::layers::Reader;
use super::table::{OptionSpec, SectionSpec, key, option_table};
use super::value::{OptionValue, StoreUri, TextList, choices};

choices! {
    /// How callers are authenticated.
    AuthStrategy {
        /// Not at all: project and roles are believed as sent.
        None = "",
        /// By tokens of the identity service.
        Keystone = "keystone",
    }
}

choices! {
    /// What a client id may be.
    ClientIdCheck {
        /// A UUID.
        Strict = "strict",
        /// Any text of a permitted length.
        Off = "off",
    }
}

choices! {
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

option_table! {
    /// What concerns the whole service. These options stand at the top of the file, before the
    /// first section.
    General general "" {
        /// Whether `/v2/health` is served, to callers with the role `admin`.
        admin_mode: bool = false;
        /// How callers are authenticated. Empty: not at all, project and roles are believed as
        /// sent, so the address must not be reachable for strangers. This version has no other
        /// strategy: it refuses to start with `keystone`, rather than serve without checking.
        auth_strategy: AuthStrategy = AuthStrategy::None;
        /// Whether to start on a store that is set up to lose messages, with a warning instead of
        /// a refusal.
        unreliable: bool = false;
        /// Whether messages show a checksum of their body (`MD5:` and the digest).
        enable_checksum: bool = false;
    }

    /// Where the API listens.
    Listen listen "drivers.transport.wsgi" {
        /// Address or host name to listen on.
        bind: String = "127.0.0.1";
        /// Port to listen on; 0 takes a free one.
        port: u16 = 8888_u16, 0 to 65535;
    }

    /// WebSocket (docs/websocket.md): on a port of its own, and on the API's port under `/v2/ws`.
    /// Time spans are in milliseconds.
    WebSocket websocket "drivers.transport.websocket" {
        /// Whether WebSocket has a port of its own.
        enabled: bool = false;
        /// Whether the API's port serves WebSocket too, under `/v2/ws`.
        on_api_port: bool = true;
        /// Address or host name to listen on.
        bind: String = "127.0.0.1";
        /// Port to listen on; 0 takes a free one.
        port: u16 = 9000_u16, 0 to 65535;
        /// The port that clients know, if a proxy maps another one to `port`: who names a third one
        /// is refused. 0: none is checked.
        external_port: u16 = 0_u16, 0 to 65535;
        /// Origins of the web pages that may connect from a browser; `*` allows every one. A client
        /// that names no origin, or the IP address it connects to, may always connect.
        allowed_origin: TextList = [];
        /// Most connections at a time, on both ports together; who comes later gets 503.
        max_connections: u32 = 4_096_u32, 1 to 1000000;
        /// Largest message that a client may send, in bytes; a post of `max_messages_post_size`
        /// bytes fits in any case.
        max_message_bytes: u32 = 1_048_576_u32, 1024 to 134217728;
        /// How often a connection is pinged.
        ping_period_ms: u64 = 30_000_u64, 10 to 3600000;
        /// How long a client may send nothing, no pong either, or take nothing of what is sent to
        /// it; then it is disconnected. Longer than `ping_period_ms`.
        idle_timeout_ms: u64 = 75_000_u64, 20 to 3600000;
    }

    /// Where queues and their metadata are kept.
    ManagementStore management_store "drivers.management_store" {
        /// The store's URI. Empty: the message store.
        uri: StoreUri = "";
    }

    /// Where messages and claims are kept.
    MessageStore message_store "drivers.message_store" {
        /// The store's URI: `sqlite:///absolute/path/to/file.db`, or another backend's, if it is
        /// part of the build (docs/backends.md). Empty: the file `zaqar.db` in
        /// `$XDG_DATA_HOME/zaqar`, else in `~/.local/share/zaqar`, else in `./zaqar-data`.
        uri: StoreUri = "";
    }

    /// What clients may ask for, and what holds when they do not say.
    Transport transport "transport" {
        /// Life of a message, in seconds, when neither message nor queue sets it.
        default_message_ttl: u64 = 3_600_u64, 60 to 253402300799;
        /// Delay of a message, in seconds, when neither message nor queue sets it.
        default_message_delay: u64 = 0_u64, 0 to 253402300799;
        /// Life of a claim, in seconds, when the client does not set it.
        default_claim_ttl: u64 = 300_u64, 60 to 253402300799;
        /// Grace of a claim, in seconds, when the client does not set it.
        default_claim_grace: u64 = 60_u64, 60 to 253402300799;
        /// Life of a subscription, in seconds, when the client does not set it.
        default_subscription_ttl: u64 = 3_600_u64, 60 to 253402300799;
        /// Longest life of a message, in seconds.
        max_message_ttl: u64 = 1_209_600_u64, 60 to 253402300799;
        /// Longest delay of a message, in seconds.
        max_message_delay: u64 = 900_u64, 0 to 253402300799;
        /// Longest life of a claim, in seconds.
        max_claim_ttl: u64 = 43_200_u64, 60 to 253402300799;
        /// Longest grace of a claim, in seconds.
        max_claim_grace: u64 = 43_200_u64, 60 to 253402300799;
        /// Most queues in one page of a listing.
        max_queues_per_page: u32 = 20_u32, 1 to 1000;
        /// Most messages in one page of a listing, and most ids in one request.
        max_messages_per_page: u32 = 20_u32, 1 to 1000;
        /// Most subscriptions in one page of a listing.
        max_subscriptions_per_page: u32 = 20_u32, 1 to 1000;
        /// Most messages in one claim or pop.
        max_messages_per_claim_or_pop: u32 = 20_u32, 1 to 1000;
        /// Most messages in one post.
        max_messages_per_post: u32 = 1_000_u32, 1 to 1000;
        /// Largest metadata of a queue, in bytes.
        max_queue_metadata: u64 = 65_536_u64, 2 to 16777216;
        /// Largest body of a post of messages, in bytes; a queue may set less for itself.
        max_messages_post_size: u64 = 262_144_u64, 64 to 67108864;
        /// Types of subscribers that are served: what their address begins with.
        subscriber_types: TextList = ["http", "https", "mailto", "trust+http", "trust+https"];
        /// Whether a client id must be a UUID (`strict`) or any text of a permitted length (`off`).
        client_id_uuid_safe: ClientIdCheck = ClientIdCheck::Strict;
        /// Shortest client id, in characters, with `client_id_uuid_safe = "off"`.
        min_length_client_id: u32 = 10_u32, 1 to 256;
        /// Longest client id, in characters, with `client_id_uuid_safe = "off"`.
        max_length_client_id: u32 = 36_u32, 1 to 256;
        /// Whether a bulk deletion of messages needs the claims' ids as well.
        message_delete_with_claim_id: bool = false;
    }

    /// What a browser on another site may do. Nothing, unless an origin is allowed.
    Cors cors "cors" {
        /// Origins that may call the API from a browser; `*` allows every one.
        allowed_origin: TextList = [];
        /// Whether the browser may send credentials.
        allow_credentials: bool = true;
        /// Response headers that the page's script may read.
        expose_headers: TextList = [
            "X-Auth-Token",
            "X-Subject-Token",
            "X-Service-Token",
            "X-OpenStack-Request-ID",
        ];
        /// How long the browser may remember the answer, in seconds.
        max_age: u32 = 3_600_u32, 0 to 86400;
        /// Methods that the page's script may use.
        allow_methods: TextList = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"];
        /// Request headers that the page's script may send.
        allow_headers: TextList = [
            "X-Auth-Token",
            "X-Identity-Status",
            "X-Roles",
            "X-Service-Catalog",
            "X-User-Id",
            "X-Tenant-Id",
            "X-OpenStack-Request-ID",
            "X-Trace-Info",
            "X-Trace-HMAC",
            "Client-id",
        ];
    }

    /// What is remembered to spare the store a question.
    Cache cache "cache" {
        /// How long a queue's metadata may be served from memory, in milliseconds. A change that
        /// another server made is seen after that time at the latest; 0 asks the store each time.
        queue_ttl_ms: u64 = 5_000_u64, 0 to 3600000;
    }

    /// The second listener, for operators: `/metrics` (Prometheus), `/livez` and `/readyz`. It
    /// needs no token and writes nothing; keep it off public networks.
    Admin admin "admin" {
        /// Address or host name to listen on. Empty: there is no such listener.
        bind: String = "127.0.0.1";
        /// Port to listen on; 0 takes a free one.
        port: u16 = 8889_u16, 0 to 65535;
    }

    /// What is logged, on standard error. Bodies, tokens and passwords never are.
    Log log "log" {
        /// Least severity, `error`, `warn`, `info`, `debug` or `trace`, for all or by module:
        /// `info,zaqar_engine=debug`. At `debug` each request has its line.
        level: String = "info";
        /// `text` for people, `json` for machines.
        format: LogFormat = LogFormat::Text;
        /// A request that takes at least so many milliseconds is logged at `info`.
        slow_request_ms: u64 = 1_000_u64, 1 to 3600000;
    }

    /// What a client can make the server hold. Time-outs are in milliseconds.
    Limits limits "limits" {
        /// Most connections at a time; who comes later gets 503 and is disconnected. Fewer if the
        /// process may not open so many files.
        connections_max: u32 = 4_096_u32, 1 to 1000000;
        /// Most connections of one peer (one IPv4 address, one IPv6 /64 network) at a time; 0: as
        /// many as there may be at all, which a proxy in front needs.
        connections_per_peer_max: u32 = 1_024_u32, 0 to 1000000;
        /// How long a client may take to send the head of a request.
        header_read_timeout_ms: u64 = 10_000_u64, 10 to 600000;
        /// Most bytes of a request's head; more is answered 431.
        header_bytes_max: u32 = 65_536_u32, 8192 to 1048576;
        /// Most header fields of a request; more is answered 431.
        header_count_max: u32 = 100_u32, 10 to 1000;
        /// How long a request may take from its head to the answer.
        request_timeout_ms: u64 = 60_000_u64, 10 to 3600000;
        /// How long the store may take for one operation; then the client is told that the outcome
        /// is not known.
        operation_timeout_ms: u64 = 30_000_u64, 10 to 3600000;
        /// Least bytes per second at which a body must come in, on average, once
        /// `body_rate_grace_ms` are over; 0: any.
        body_rate_min_bytes_per_s: u32 = 1_024_u32, 0 to 1000000000;
        /// How long a body may come in at any rate.
        body_rate_grace_ms: u64 = 5_000_u64, 10 to 600000;
        /// How long a connection without a request stays open.
        idle_timeout_ms: u64 = 75_000_u64, 10 to 3600000;
        /// How long a client may take nothing of an answer that waits for it.
        write_timeout_ms: u64 = 30_000_u64, 10 to 3600000;
        /// Most requests at a time on one HTTP/2 connection.
        http2_streams_max: u32 = 128_u32, 1 to 10000;
        /// How long the server finishes accepted requests after it was told to stop.
        drain_timeout_ms: u64 = 30_000_u64, 0 to 3600000;
    }
}
