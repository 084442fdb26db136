//! The table of all options: name, type, default, range and meaning, each said once.

use std::collections::BTreeMap;

pub use super::choices::{AuthStrategy, ClientIdCheck, LogFormat, SmtpMode, SmtpTls};
use super::layers::Reader;
use super::project_limits::ProjectLimits;
use super::secret::{Secret, SecretList};
use super::stage_options::StageOptions;
use super::table::{OptionSpec, SectionSpec, key, option_table};
use super::value::{OptionValue, StoreUri, TextList};

option_table! {
    /// What concerns the whole service. These options stand at the top of the file, before the
    /// first section.
    General general "" {
        /// Whether `/v2/health` is served, to callers with the role `admin`.
        admin_mode: bool = false;
        /// Whether queues live in pools, which an administrator adds (docs/pools.md). Pools and flavors
        /// are served with `admin_mode` alone.
        pooling: bool = false;
        /// How callers are authenticated (docs/authentication.md). Empty: not at all, project and
        /// roles are believed as sent, so the address must not be reachable for strangers.
        /// `keystone`: by tokens that Keystone validates, see `[keystone_authtoken]`.
        auth_strategy: AuthStrategy = AuthStrategy::None;
        /// Whether to start on a store that is set up to lose messages, with a warning instead of
        /// a refusal.
        unreliable: bool = false;
        /// Whether messages show a checksum of their body (`MD5:` and the digest).
        enable_checksum: bool = false;
    }

    /// Pools, with `pooling` (docs/pools.md).
    Catalog catalog "catalog" {
        /// Whether a queue for which there is no pool is made in the store of
        /// `[drivers.message_store]`; otherwise it is refused.
        enable_virtual_pool: bool = false;
    }

    /// How queues are moved between pools (docs/migration.md).
    Migration migration "migration" {
        /// Messages that one server moves in a second at most; 0: as many as the stores can.
        max_messages_per_second: u32 = 0_u32, 0 to 1_000_000;
        /// Messages that are on their way at once, and stand still for so long.
        messages_per_part: u32 = 200_u32, 1 to 1_000;
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

    /// TLS (docs/tls.md), on the API's port and on WebSocket's own; the operators' listener has none.
    /// Time spans are in milliseconds.
    Tls tls "drivers.transport.tls" {
        /// File of the server's certificate and of those between it and its authority (PEM), the
        /// server's own first. Empty: no TLS.
        cert_file: String = "";
        /// File of the certificate's private key (PEM), without a password.
        key_file: String = "";
        /// How often both files are looked at: a renewed certificate is taken without a restart.
        reload_interval_ms: u64 = 60_000_u64, 10 to 86400000;
        /// How long a client may take to shake hands.
        handshake_timeout_ms: u64 = 10_000_u64, 10 to 600000;
        /// Most handshakes at a time on each port, a quarter of them by one peer; others wait for
        /// their turn.
        handshakes_max: u32 = 256_u32, 1 to 100000;
        /// How long, in seconds, a browser that came over TLS is to use nothing else with this host
        /// name, on whatever port (`Strict-Transport-Security`); 0: it is not told.
        hsts_max_age: u32 = 86_400_u32, 0 to 315360000;
    }

    /// Keystone, with `auth_strategy = "keystone"` (docs/authentication.md).
    KeystoneAuth keystone "keystone_authtoken" {
        /// Where Keystone's API is: `https://keystone.example.org:5000`; `/v3` may follow.
        auth_url: String = "";
        /// Where callers without a valid token are told to get one. Empty: `auth_url`.
        www_authenticate_uri: String = "";
        /// The service's own user, which must be allowed to validate tokens.
        username: String = "";
        /// Its password.
        password: Secret = "";
        /// The name of its domain.
        user_domain_name: String = "Default";
        /// The project in which it logs in.
        project_name: String = "service";
        /// The name of the project's domain.
        project_domain_name: String = "Default";
        /// A file of certificates (PEM) of authorities that certify Keystone, besides the system's.
        /// Empty: the system's alone.
        cafile: String = "";
        /// How long, in seconds, Keystone is not asked again about a valid token, and so how long a
        /// revoked one may still be taken; 0: it is asked each time.
        token_cache_time: u64 = 300_u64, 0 to 86400;
        /// Most tokens that are remembered.
        cached_tokens_max: u32 = 50_000_u32, 1 to 10000000;
        /// How long connecting to Keystone may take, in milliseconds.
        connect_timeout_ms: u64 = 3_000_u64, 10 to 60000;
        /// How long finding out about a token may take in all, in milliseconds; then the caller is
        /// answered 503.
        request_timeout_ms: u64 = 10_000_u64, 10 to 600000;
        /// Most requests to Keystone at a time; others wait for their turn.
        requests_max: u32 = 32_u32, 1 to 1000;
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

    /// Encryption of the messages of queues that ask for it (docs/encryption.md).
    Encryption encryption "encryption" {
        /// Keys, each as `ID:SECRET` with a secret of at least 32 bytes. The first one encrypts,
        /// each decrypts: a new key is put first, an old one stays as long as messages of its time
        /// do. Empty: no queue can ask for encryption.
        keys: SecretList = [];
    }

    /// Layers around the message store (docs/write-a-stage.md). What one of them is told stands in a
    /// section of its own, `[stages.NAME]`; `zaqar-server` itself has `metrics`, which takes nothing.
    Stages stages "stages" {
        /// The stages that are on, by name; an operation meets the first one first.
        order: TextList = ["metrics"];
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
        /// Most pools on a page.
        max_pools_per_page: u32 = 20_u32, 1 to 1000;
        /// Most flavors on a page.
        max_flavors_per_page: u32 = 20_u32, 1 to 1000;
        /// Longest time, in seconds, that a claim or a listing may wait for messages
        /// (docs/long-polling.md), and never more than half of `limits.request_timeout_ms`; 0:
        /// nobody may wait.
        max_wait: u32 = 20_u32, 0 to 20;
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

    /// How what is posted reaches subscribers (docs/notifications.md). Time-outs are in
    /// milliseconds.
    Notification notification "notification" {
        /// Whether a subscriber gets nothing before it has confirmed. Needs `signed_url.secret_key`.
        require_confirmation: bool = false;
        /// Most subscriptions that this server delivers to at a time; 0: it delivers nothing and
        /// leaves that to other servers on the same store.
        max_notifier_workers: u32 = 64_u32, 0 to 1000;
        /// Most subscriptions of one project that this server delivers to at a time; at most three
        /// quarters of `max_notifier_workers`, so that others always find one.
        per_project_max: u32 = 48_u32, 1 to 1000;
        /// How often the store is asked for what was posted through another server, and for retries.
        poll_interval_ms: u64 = 250_u64, 10 to 60000;
        /// How long, in seconds, another server waits before it takes over what this one was
        /// delivering when it died.
        lease_ttl: u64 = 30_u64, 5 to 3600;
        /// How long connecting to a subscriber may take.
        connect_timeout_ms: u64 = 3_000_u64, 10 to 60000;
        /// How long one delivery may take, from connecting to the answer.
        request_timeout_ms: u64 = 10_000_u64, 10 to 600000;
        /// Most bytes of a subscriber's answer that are read.
        response_bytes_max: u32 = 65_536_u32, 0 to 16777216;
        /// Most deliveries at a time to one host and port.
        per_host_max: u32 = 8_u32, 1 to 1000;
        /// After so many deliveries in a row to one host and port that timed out, it is left alone
        /// for `host_pause_ms`, then tried once.
        host_timeouts_max: u32 = 5_u32, 1 to 1000;
        /// How long a host that times out is left alone.
        host_pause_ms: u64 = 10_000_u64, 10 to 3600000;
        /// Keys that sign what is sent to webhooks, `whsec_` and base64 or plain text. Each makes a
        /// signature, so that a receiver may know the new or the old one. Empty: nothing is signed.
        signing_secrets: SecretList = [];
        /// A file of certificates (PEM) of authorities that certify `https` subscribers and the mail
        /// server, besides the system's. Empty: the system's alone.
        ca_file: String = "";
        /// Networks, as `10.1.0.0/16` or `fd00::/8`, that webhooks may be in although they are not
        /// public. Whoever may subscribe can make the server send requests there.
        allowed_networks: TextList = [];
        /// Ports that webhooks may have; `*` allows every one.
        allowed_ports: TextList = ["80", "443"];
        /// Hosts, each with a port or without, where subscribers of the types `trust+https` and
        /// `trust+http` may be: they are sent a token by which they may act for whoever subscribed
        /// them (docs/authentication.md). Empty: there are no such subscribers.
        trusted_hosts: TextList = [];
        /// Whether such a token may travel in plain text, to subscribers of the type `trust+http`.
        trusted_plain_http: bool = false;
        /// Where clients reach this API, for the links in confirmation requests:
        /// `https://queues.example.org`. Empty: the links are left out.
        public_url: String = "";
        /// The same for WebSocket.
        public_websocket_url: String = "";
        /// The operator's own page that mails ask their reader to open in order to confirm. Empty:
        /// no confirmation can be asked for by mail.
        external_confirmation_url: String = "";
        /// How mail is sent: by `smtp_command` (`third_part`) or to `smtp_host` (`self_local`).
        smtp_mode: SmtpMode = SmtpMode::ThirdPart;
        /// The command, split at blanks; no shell reads it.
        smtp_command: String = "/usr/sbin/sendmail -t -oi";
        /// The mail server.
        smtp_host: String = "127.0.0.1";
        /// The mail server's port.
        smtp_port: u16 = 465_u16, 1 to 65535;
        /// How the connection to the mail server is secured.
        smtp_tls: SmtpTls = SmtpTls::Implicit;
        /// Who logs in at the mail server. Empty: nobody does.
        smtp_user_name: String = "";
        /// The password for it.
        smtp_user_password: Secret = "";
        /// Sender of every mail. Empty: the sender that the subscription's option `from` names.
        mail_sender: String = "";
    }

    /// The mail that asks a subscriber to confirm. In `body`, `{0}` stands for the queue, `{1}` for
    /// the project, `{2}` for the link.
    SubscribeMail subscribe_mail "notification.subscription_confirmation_email_template" {
        /// Its subject.
        topic: String = "Zaqar Notification - Subscription Confirmation";
        /// Its text.
        body: String = "You have chosen to subscribe to the queue: {0}. This queue belongs to \
            project: {1}. To confirm this subscription, click or visit this link below: {2}";
        /// Its sender, unless `notification.mail_sender` is set.
        sender: String = "Zaqar Notifications <no-reply@openstack.org>";
    }

    /// The mail that tells a subscriber that it has unsubscribed.
    UnsubscribeMail unsubscribe_mail "notification.unsubscribe_confirmation_email_template" {
        /// Its subject.
        topic: String = "Zaqar Notification - Unsubscribe Confirmation";
        /// Its text.
        body: String = "You have unsubscribed successfully to the queue: {0}. This queue belongs \
            to project: {1}. To resubscribe this subscription, click or visit this link below: {2}";
        /// Its sender, unless `notification.mail_sender` is set.
        sender: String = "Zaqar Notifications <no-reply@openstack.org>";
    }

    /// URLs that give whoever holds them leave to do something without a token.
    SignedUrl signed_url "signed_url" {
        /// The key that signs them. Of a list the first one signs and each is recognised, so that
        /// one can replace another. Empty: there are no such URLs.
        secret_key: SecretList = [];
    }

    /// Who may do what (docs/policies.md).
    OsloPolicy oslo_policy "oslo_policy" {
        /// A YAML file whose rules replace the default ones of the same name; `zaqar-server policy
        /// sample` prints one. It is read at the start. Empty: the default rules hold.
        policy_file: String = "";
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
            "Idempotency-Key",
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

    /// How often one project may ask this server, over REST and WebSocket together
    /// (docs/limits.md); 0: as often as it likes. A project of its own limits has a section
    /// `[limits.projects.ID]`, in which any option of this section and the next can stand.
    Rates rates "limits.rates" {
        /// Most requests per second; more are answered 503.
        requests_per_second: u32 = 0_u32, 0 to 1000000;
        /// Most requests at once after a pause; 0: as many as in a second.
        requests_burst: u32 = 0_u32, 0 to 1000000;
        /// Most messages posted per second; a post with which there would be more is answered 503.
        messages_per_second: u32 = 0_u32, 0 to 1000000;
        /// Most messages posted at once after a pause; 0: as many as in a second. At least
        /// `transport.max_messages_per_post` in any case.
        messages_burst: u32 = 0_u32, 0 to 1000000;
    }

    /// How much one project may hold (docs/limits.md); 0: any amount. What would be more is answered
    /// 403 and nothing of it is stored.
    Quotas quotas "limits.quotas" {
        /// Most queues.
        queues: u64 = 0_u64, 0 to 1000000000;
        /// Most topics.
        topics: u64 = 0_u64, 0 to 1000000000;
        /// Most live messages, in all queues and topics together; claimed ones count.
        messages: u64 = 0_u64, 0 to 1000000000000;
        /// Most bytes of the bodies of these messages, which the server estimates.
        bytes: u64 = 0_u64, 0 to 1000000000000000;
    }
}

impl Tls {
    /// Whether there is TLS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.cert_file.is_empty()
    }
}
