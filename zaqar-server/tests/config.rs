//! Configuration as an operator meets it: layers, errors, sample, import.

use std::collections::BTreeSet;

use zaqar_server::config::options::{AuthStrategy, ClientIdCheck, LogFormat};
use zaqar_server::config::{Config, ConfigError, Layers, document, import};

fn env(pairs: &[(&str, &str)]) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn toml(text: &str) -> Result<Config, ConfigError> {
    Layers::new().text("zaqar.toml", text)?.load()
}

#[track_caller]
fn refused(text: &str, words: &[&str]) {
    let error = toml(text).err().map(|error| error.to_string()).unwrap_or_default();
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

#[test]
fn without_any_layer_the_defaults_hold() {
    let config = Layers::new().load().unwrap();
    assert_eq!(config, Config::default());
    assert_eq!((config.listen.bind.as_str(), config.listen.port), ("127.0.0.1", 8888));
    assert_eq!(config.transport.max_message_ttl, 1_209_600);
    assert!(!config.message_store.uri.is_set());
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let file = "admin_mode = true\n[transport]\nmax_message_ttl = 5000\nmax_claim_ttl = 6000\n\
                [drivers.transport.wsgi]\nport = 1\n[log]\nformat = 'json'\n";
    let variables = [
        ("ZAQAR__DRIVERS__TRANSPORT__WSGI__PORT", "2"),
        ("ZAQAR__TRANSPORT__MAX_CLAIM_TTL", "7000"),
        ("ZAQAR__CORS__ALLOWED_ORIGIN", "https://a.example, https://b.example"),
        ("ZAQAR__UNRELIABLE", "true"),
        ("HOME", "/root"),
    ];
    let layers = Layers::new().text("zaqar.toml", file).unwrap().env(env(&variables)).unwrap();
    let config = layers.flag("flag --port", "drivers.transport.wsgi.port", "3").load().unwrap();
    assert_eq!(config.listen.port, 3);
    assert_eq!(config.transport.max_claim_ttl, 7000);
    assert_eq!(config.transport.max_message_ttl, 5000);
    assert!(config.general.admin_mode && config.general.unreliable);
    assert_eq!(config.cors.allowed_origin.0, ["https://a.example", "https://b.example"]);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn an_unknown_key_is_named_with_its_source_and_the_one_that_may_be_meant() {
    refused(
        "[transport]\nmax_mesage_ttl = 1",
        &["transport.max_mesage_ttl", "zaqar.toml", "no such"],
    );
    refused("max_message_ttl = 100", &["there is transport.max_message_ttl"]);
    refused("transport = 5", &["option transport", "is a section"]);
    refused("[nonsense.deep]\nx = 1", &["nonsense.deep.x"]);
    let layers = Layers::new().env(env(&[("ZAQAR__TRANSPRT__MAX_CLAIM_TTL", "100")])).unwrap();
    let error = layers.load().unwrap_err().to_string();
    assert!(error.contains("environment variable ZAQAR__TRANSPRT__MAX_CLAIM_TTL"), "{error}");
}

#[test]
fn a_bad_value_is_named_with_its_source_and_what_it_must_be() {
    refused("[transport]\nmax_message_ttl = 59", &["transport.max_message_ttl", "from 60", "59"]);
    refused("[transport]\nmax_message_ttl = \"week\"", &["whole number", "\"week\""]);
    refused("[transport]\nmax_messages_per_page = 2.5", &["max_messages_per_page", "2.5"]);
    refused("[drivers.transport.wsgi]\nport = 65536", &["wsgi.port", "65535"]);
    refused("[drivers.transport.wsgi]\nport = -1", &["wsgi.port", "-1"]);
    refused("admin_mode = 'perhaps'", &["admin_mode", "true or false"]);
    refused("[transport]\nclient_id_uuid_safe = 'lax'", &["\"strict\", \"off\""]);
    refused("[cors]\nallowed_origin = [1]", &["cors.allowed_origin", "list of texts"]);
    refused("[log]\nlevel = 'a=b=c'", &["log.level", "filter"]);
    refused("[drivers.transport.wsgi]\nbind = ''", &["wsgi.bind", "empty"]);
}

#[test]
fn limits_of_one_project_are_read_shown_and_checked_like_any_option() {
    let text = "[limits.projects.\"Project 1.2\"]\nqueues = 3\nrequests_per_second = 7\n\
                [limits.projects.p]\nbytes = 0\n";
    let variables = [("ZAQAR__LIMITS__PROJECTS__P__BYTES", "9")];
    let layers = Layers::new().text("zaqar.toml", text).unwrap().env(env(&variables)).unwrap();
    let config = layers.load().unwrap();
    let own = &config.project_limits["Project 1.2"];
    assert_eq!((own.get("queues"), own.get("requests_per_second")), (Some(3), Some(7)));
    assert_eq!(own.get("bytes"), None);
    assert_eq!(config.project_limits["p"].get("bytes"), Some(9));
    assert_eq!(toml(&document::show(&config)).unwrap(), config);

    let section = "[limits.projects.p]\n";
    refused(
        &format!("{section}queue = 3"),
        &["option limits.projects.p.queue", "zaqar.toml", "no such", "queues, topics"],
    );
    refused(&format!("{section}queues = -1"), &["limits.projects.p.queues", "-1"]);
    refused(&format!("{section}messages_burst = 1000001"), &["messages_burst", "to 1000000"]);
    refused("[limits.projects]\np = 5", &["limits.projects.p", "must be a section"]);
    refused("[limits]\nprojects = 5", &["limits.projects"]);
    let long = "x".repeat(257);
    refused(&format!("[limits.projects.{long}]\nqueues = 1"), &["is no project's id"]);
    refused("[limits.rates]\nqueues = 1", &["limits.rates.queues", "limits.quotas.queues"]);
}

#[test]
fn every_problem_is_reported_at_once() {
    let error = toml("a = 1\nb = 2\n[transport]\nmax_claim_ttl = 1").unwrap_err();
    let ConfigError::Options(problems) = error else { panic!("{error}") };
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "transport.max_claim_ttl"]);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    refused(
        "[transport]\ndefault_message_ttl = 700\nmax_message_ttl = 600",
        &["transport.default_message_ttl", "transport.max_message_ttl", "600"],
    );
    refused("auth_strategy = 'keystone'", &["auth_url", "username", "password"]);
    let complete = "auth_strategy = 'keystone'\n[keystone_authtoken]\nusername = 'u'\n\
                    password = 'hidden'\n";
    for url in ["keystone", "ftp://keystone/", "http://", "http://u:hidden@keystone/"] {
        let text = format!("{complete}auth_url = '{url}'\n");
        refused(&text, &["keystone_authtoken.auth_url", "must be a URL"]);
    }
    toml(&format!("{complete}auth_url = 'http://keystone:5000'\n")).unwrap();
}

#[test]
fn what_is_no_toml_is_refused_without_showing_the_line() {
    refused("[drivers.message_store]\nuri = 'x://u:hidden@h", &["zaqar.toml", "line 2"]);
    let error = toml("uri = 'x://u:hidden@h").unwrap_err().to_string();
    assert!(!error.contains("hidden") && error.lines().count() == 1, "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let path = std::path::Path::new("/nowhere/zaqar.toml");
    let error = Layers::new().file(path).unwrap_err().to_string();
    assert!(error.contains("/nowhere/zaqar.toml"), "{error}");
}

#[test]
fn a_password_is_never_shown() {
    let config = toml("[drivers.message_store]\nuri = 'redis://u:hidden@h/0'").unwrap();
    assert!(document::show(&config).contains("redis://u:***@h/0"));
    assert!(!format!("{config:?}").contains("hidden"));
}

/// Whether an option is named like something that nobody else may know. A file's name, a number
/// or an identifier is no secret, whatever it is about.
fn sounds_secret(name: &str) -> bool {
    let words: Vec<_> = name.split('_').collect();
    let is_about = ["password", "passphrase", "secret", "secrets", "token", "key", "keys"];
    let is_not_it =
        ["file", "files", "ttl", "time", "ms", "max", "min", "size", "id", "ids", "name"];
    words.iter().any(|word| is_about.contains(word))
        && !words.last().is_some_and(|last| is_not_it.contains(last))
}

#[test]
fn no_option_that_is_secret_is_shown_or_repeated_in_an_error() {
    const MARK: &str = "4711471147114711";
    let mut found = 0;
    for option in Config::sections().into_iter().flat_map(|section| section.options) {
        let key = option.key();
        let is_uri = option.kind == "URI";
        if !is_uri && !option.kind.starts_with("secret text") {
            assert!(!sounds_secret(option.name), "{key} is named like a secret and is none");
            continue;
        }
        found += 1;
        let value = if is_uri { format!("redis://u:{MARK}@h/0") } else { MARK.to_owned() };
        let config = Layers::new().flag("flag --set", &key, &value).load();
        let shown = config.map_or_else(
            |error| error.to_string(),
            |config| format!("{}{config:?}", document::show(&config)),
        );
        assert!(!shown.contains(MARK), "{key}: {shown}");
        // A value of the wrong kind, which the message must not repeat.
        let line = format!("{} = {MARK}\n", option.name);
        let wrong = match option.section {
            "" => line,
            section => format!("[{section}]\n{line}"),
        };
        let error = toml(&wrong).unwrap_err().to_string();
        assert!(error.contains(&key) && !error.contains(MARK), "{key}: {error}");
    }
    assert!(found >= 5, "{found}");
}

/// The sample with every option set, at its default.
fn sample_in_force() -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    document::sample().lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_documents_every_option_at_its_default() {
    assert_eq!(toml(&document::sample()).unwrap(), Config::default());
    let text = sample_in_force();
    assert_eq!(toml(&text).unwrap(), Config::default());
    let parsed: toml::Table = text.parse().unwrap();
    let mut written = BTreeSet::new();
    collect("", &parsed, &mut written);
    let sections = Config::sections();
    let known: BTreeSet<_> = sections.iter().flat_map(|s| &s.options).map(|o| o.key()).collect();
    assert_eq!(written, known);
    assert!(sections.iter().flat_map(|s| &s.options).all(|o| !o.doc.trim().is_empty()));
}

fn collect(prefix: &str, table: &toml::Table, into: &mut BTreeSet<String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => collect(&key, inner, into),
            _ => {
                into.insert(key);
            }
        }
    }
}

#[test]
fn the_committed_sample_is_the_generated_one() {
    let committed = include_str!("../zaqar-server.sample.toml");
    assert!(
        committed == document::sample(),
        "zaqar-server.sample.toml is stale: write it anew with `zaqar-server config sample`"
    );
}

#[test]
fn what_is_shown_reads_back_as_it_was() {
    let mut config = Config::default();
    config.transport.max_message_ttl = 99_999;
    config.cors.allowed_origin.0 = vec!["https://a \"quoted\" one".to_owned()];
    assert_eq!(toml(&document::show(&config)).unwrap(), config);
}

#[test]
fn every_option_has_a_row_in_the_documentation() {
    let page = document::markdown();
    for option in Config::sections().into_iter().flat_map(|section| section.options) {
        assert!(page.contains(&format!("| `{}` |", option.name)), "{}", option.key());
    }
}

const UPSTREAM: &str = "\
[DEFAULT]
# An operator's file.
debug = True
admin_mode = true
pooling = True
sharding = True
unreliable = False
auth_strategy = keystone
log_file = /var/log/zaqar/zaqar.log
enable_deprecated_api_versions =
transport_url = rabbit://guest:hidden@broker

[drivers]
transport = wsgi
message_store = mongodb
management_store = sqlalchemy

[drivers:transport:wsgi]
bind = 0.0.0.0
port = 8899

[drivers:message_store:mongodb]
uri = mongodb://zaqar:hidden@db1,db2/?replicaSet=rs0
database = zaqar
partitions = 8

[drivers:management_store:sqlalchemy]
uri = mysql+pymysql://zaqar:hidden@localhost/zaqar

[transport]
max_message_ttl : 2419200
max_claim_ttl = 100
max_claim_ttl = 86400
default_claim_ttl = soon
max_messages_post_size = $max_queue_metadata
client_id_uuid_safe = off
message_encryption_key = hidden
not_an_option = 1

[pooling:catalog]
enable_virtual_pool = True

[cors]
allowed_origin = https://one.example,
    https://two.example

[storage]
message_pipeline = zaqar.notification.notifier

[keystone_authtoken]
password = hidden
memcached_servers = localhost:11211
";

#[test]
fn an_upstream_file_is_carried_over_where_it_means_the_same() {
    let imported = import::import(UPSTREAM).unwrap();
    let text = imported.toml.replace("auth_strategy = \"keystone\"", "");
    let config = toml(&text).unwrap();
    assert!(config.general.admin_mode && config.general.pooling);
    assert!(config.catalog.enable_virtual_pool);
    assert_eq!((config.listen.bind.as_str(), config.listen.port), ("0.0.0.0", 8899));
    assert_eq!(config.transport.max_message_ttl, 2_419_200);
    assert_eq!(config.transport.max_claim_ttl, 86_400);
    assert_eq!(config.transport.client_id_uuid_safe, ClientIdCheck::Off);
    assert_eq!(config.cors.allowed_origin.0, ["https://one.example", "https://two.example"]);
    assert_eq!(config.log.level, "debug");
    assert!(!config.message_store.uri.is_set());
}

#[test]
fn what_an_upstream_file_loses_is_listed_and_nothing_secret_with_it() {
    let imported = import::import(UPSTREAM).unwrap();
    let left: Vec<_> = imported.left_out.iter().map(ToString::to_string).collect();
    let all = left.join("\n");
    for option in [
        "[DEFAULT] sharding",
        "[DEFAULT] log_file",
        "[DEFAULT] transport_url: no such option",
        "[drivers] message_store",
        "[drivers] management_store",
        "[drivers:message_store:mongodb] uri",
        "[drivers:message_store:mongodb] partitions",
        "[drivers:management_store:sqlalchemy] uri",
        "[transport] max_claim_ttl: given 2 times",
        "[transport] default_claim_ttl: must be a whole number",
        "[transport] max_messages_post_size: refers to another option",
        "[transport] message_encryption_key",
        "[transport] not_an_option: no such option",
        "[storage] message_pipeline",
        "[keystone_authtoken] password",
        "keystone_authtoken.auth_url: carried over, but the server will not start",
    ] {
        assert!(all.contains(option), "`{option}` is not in:\n{all}");
    }
    for kept in ["admin_mode", "unreliable", "[drivers] transport", "wsgi", "enable_deprecated"] {
        assert!(!all.contains(kept), "`{kept}` is in:\n{all}");
    }
    assert!(!all.contains("hidden") && !imported.toml.contains("hidden"));
}

#[test]
fn an_import_never_drops_authentication_silently() {
    let imported = import::import("[DEFAULT]\nauth_strategy = keystone\n").unwrap();
    assert!(imported.toml.contains("auth_strategy = \"keystone\""), "{}", imported.toml);
    assert!(toml(&imported.toml).is_err());
    assert_eq!(Config::default().general.auth_strategy, AuthStrategy::None);
}

#[test]
fn a_policy_file_is_carried_over_and_nothing_that_would_change_what_it_means() {
    let ini = "[oslo_policy]\npolicy_file = /etc/zaqar/policy.yaml\npolicy_dirs = policy.d\n\
               policy_default_rule = default\nenforce_scope = true\nremote_timeout = 60\n";
    let imported = import::import(ini).unwrap();
    assert_eq!(toml(&imported.toml).unwrap().oslo_policy.policy_file, "/etc/zaqar/policy.yaml");
    let left: Vec<&str> = imported.left_out.iter().map(|left| left.option.as_str()).collect();
    let names = ["enforce_scope", "policy_default_rule", "policy_dirs", "remote_timeout"];
    assert_eq!(left, names.map(|name| format!("[oslo_policy] {name}")));
}

#[test]
fn a_file_that_is_no_ini_is_refused_with_the_place() {
    let error = import::import("[DEFAULT]\njust words\nadmin_mode = true\n").unwrap_err();
    assert!(error.to_string().contains("just words"), "{error}");
    assert!(import::import("[DEFAULT\nx = 1\n").is_err());
}
