//! What is known of OpenStack Zaqar's options that are not ours: why, or what they are called here.

/// Sections, or parts of their names, no option of which is carried over.
const SECTIONS: &[(&str, &str)] = &[
    ("trustee", "trusts are given to the user of [keystone_authtoken]"),
    ("oslo_reports", "there is no such report"),
    ("oslo_middleware", "there is no such middleware"),
    ("profiler", "there is no profiler; see the metrics of the [admin] listener"),
    ("cache", "no cache server is needed; see cache.queue_ttl_ms"),
];

/// Single options that are not carried over.
const OPTIONS: &[(&str, &str, &str)] = &[
    ("DEFAULT", "sharding", "it is an old name of pooling"),
    ("DEFAULT", "enable_deprecated_api_versions", "only version 2 of the API is served"),
    ("transport", "message_encryption_algorithms", "there is one algorithm"),
    ("transport", "message_encryption_key", "see encryption.keys; there is no default"),
    ("oslo_policy", "policy_dirs", "there is one policy file; put its rules into it"),
    (
        "oslo_policy",
        "policy_default_rule",
        "a rule that is not there is an error, not another rule",
    ),
    ("oslo_policy", "enforce_scope", SCOPE),
    ("oslo_policy", "enforce_new_defaults", "there is one set of defaults"),
    ("notification", "subscription_confirmation_email_template", MAIL),
    ("notification", "unsubscribe_confirmation_email_template", MAIL),
    ("notification", "max_notifier_workers", "workers cost less here; the default is more"),
    ("drivers:transport:websocket", "notification_bind", RELAY),
    ("drivers:transport:websocket", "notification-bind", RELAY),
    ("drivers:transport:websocket", "notification_port", RELAY),
    ("drivers:transport:websocket", "notification-port", RELAY),
    ("keystone_authtoken", "password", SECRET),
    ("keystone_authtoken", "auth_type", "the service user logs in by password"),
    ("keystone_authtoken", "insecure", "certificates are checked; see keystone_authtoken.cafile"),
    ("keystone_authtoken", "memcached_servers", "no cache server is needed"),
    ("keystone_authtoken", "user_domain_id", DOMAIN),
    ("keystone_authtoken", "project_domain_id", DOMAIN),
    ("drivers", "message_store", "the scheme of drivers.message_store.uri says it"),
    ("drivers", "storage", "the scheme of drivers.message_store.uri says it"),
    ("drivers", "management_store", "the scheme of drivers.management_store.uri says it"),
];

const SCOPE: &str = "tokens are for projects; a rule may ask for system_scope";
const SECRET: &str = "is secret, so it is not written down here; set it again";
const DOMAIN: &str = "a domain is told by its name here; see user_domain_name, project_domain_name";
const MAIL: &str = "is a section of its own here, with topic, body and sender";
const RELAY: &str = "notifications reach WebSocket connections without a listener";
const STORE: &str = "this store's driver is not part of this version; \
    name a store by drivers.message_store.uri and start with it empty";
const STORE_SQL: &str = "its tables are not ours; \
    name another file by drivers.message_store.uri and start with it empty";
const LOGGING: &str = "logs go to standard error; see [log]";

/// Why the option is not carried over; `None` if it may be.
pub(super) fn left_out(section: &str, name: &str, value: &str) -> Option<&'static str> {
    if section.starts_with("drivers:message_store:")
        || section.starts_with("drivers:management_store:")
    {
        let sql = section.ends_with(":sqlalchemy");
        return Some(if sql && value.starts_with("sqlite") { STORE_SQL } else { STORE });
    }
    if section == "drivers" && name == "transport" && !matches!(value, "wsgi" | "websocket") {
        return Some("there is no such transport");
    }
    if section == "storage" && name.ends_with("_pipeline") && !value.is_empty() {
        return Some("notifications need no pipeline here; other stages are put on by [stages]");
    }
    if section == "DEFAULT" && is_logging(name, value) {
        return Some(LOGGING);
    }
    if is_password_login(section, name, value) {
        return None;
    }
    let by_section = SECTIONS.iter().find(|(known, _)| *known == section).map(|(_, why)| *why);
    by_section.or_else(|| {
        let known = OPTIONS.iter().find(|(s, n, _)| *s == section && *n == name);
        known.filter(|_| !is_off(value)).map(|(_, _, why)| *why)
    })
}

/// Whether the option says what is so here without being said.
pub(super) fn holds_anyway(section: &str, name: &str, value: &str) -> bool {
    (section == "drivers" && name == "transport" && value == "wsgi")
        || is_password_login(section, name, value)
        || (section == "storage" && name.ends_with("_pipeline") && value.is_empty())
        || (section == "DEFAULT" && matches!(name, "debug" | "use_json") && is_off(value))
        || (OPTIONS.iter().any(|(s, n, _)| *s == section && *n == name) && is_off(value))
}

/// The option under its name here, if it has another one.
pub(super) fn renamed(section: &str, name: &str, value: &str) -> Option<(String, String)> {
    match (section, name) {
        // Here it comes beside the other transport, not in its place.
        ("drivers", "transport") => {
            Some(("drivers.transport.websocket.enabled".into(), "true".into()))
        }
        ("drivers:transport:websocket", "external-port") => {
            Some(("drivers.transport.websocket.external_port".into(), value.to_owned()))
        }
        // A section cannot be named as an option is.
        ("pooling:catalog", "enable_virtual_pool") => {
            Some(("catalog.enable_virtual_pool".into(), value.to_owned()))
        }
        ("keystone_authtoken", "auth_uri") => {
            Some(("keystone_authtoken.www_authenticate_uri".into(), value.to_owned()))
        }
        ("DEFAULT", "debug") if !is_off(value) => Some(("log.level".into(), "debug".into())),
        ("DEFAULT", "use_json") if !is_off(value) => Some(("log.format".into(), "json".into())),
        _ => None,
    }
}

/// Whether it says how the service user logs in, which is the one way that there is.
fn is_password_login(section: &str, name: &str, value: &str) -> bool {
    section == "keystone_authtoken" && name == "auth_type" && value == "password"
}

fn is_logging(name: &str, value: &str) -> bool {
    let prefixes = ["log_", "logging_", "use_", "syslog_", "rate_limit_", "default_log_"];
    let known = ["watch_log_file", "publish_errors", "fatal_deprecations", "instance_format"];
    let carried = name == "use_json" || (name.starts_with("use_") && is_off(value));
    !carried && (prefixes.iter().any(|p| name.starts_with(p)) || known.contains(&name))
}

fn is_off(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "" | "false" | "0" | "no" | "off" | "[]")
}
