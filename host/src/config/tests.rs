use super::*;

fn load_text(file: &str, variables: &[(&str, &str)], flags: &str) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bulkhead.toml");
    std::fs::write(&path, file).unwrap();
    let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    load(Some(&path), variables, toml::from_str(flags).unwrap())
}

/// An error with its sources, as the command line prints it.
fn told(error: Error) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let file = "port = 1\nslots = 1\ndata = \"a\"\n[gateway]\nsync_calls = 1\nregistrations = 7";
    let variables = [("BULKHEAD_PORT", "2"), ("BULKHEAD_SLOTS", "2"), ("BULKHEAD_GATEWAY_SYNC_CALLS", "2")];
    let config = load_text(file, &variables, "port = 3").unwrap();
    assert_eq!((config.port, config.slots, config.gateway.sync_calls), (3, 2, 2));
    assert_eq!((config.data, config.gateway.registrations), (PathBuf::from("a"), 7));
    assert_eq!(config.host, Config::default().host);
}

#[test]
fn an_unknown_key_in_the_file_is_refused_with_the_known_ones_and_its_line() {
    let message = told(load_text("port = 1\nprot = 2", &[], "").unwrap_err());
    assert!(message.contains("prot") && message.contains("`port`") && message.contains("line 2"), "{message}");
    let message = told(load_text("[gateway]\nwiat = \"1s\"", &[], "").unwrap_err());
    assert!(message.contains("wiat") && message.contains("`wait`"), "{message}");
}

#[test]
fn an_unknown_variable_is_refused_with_the_known_ones() {
    let message = told(load_text("", &[("BULKHEAD_PROT", "1")], "").unwrap_err());
    assert!(message.contains("BULKHEAD_PROT") && message.contains("BULKHEAD_PORT"), "{message}");
    assert!(load_text("", &[("BULKHEAD_LOG", "debug"), ("PATH", "/bin")], "").is_ok());
}

#[test]
fn a_variable_of_the_wrong_kind_is_refused_by_name() {
    let message = told(load_text("", &[("BULKHEAD_PORT", "70000")], "").unwrap_err());
    assert!(message.contains("BULKHEAD_PORT"), "{message}");
    let message = told(load_text("", &[("BULKHEAD_DEFAULTS_MEMORY", "1 elephant")], "").unwrap_err());
    assert!(message.contains("BULKHEAD_DEFAULTS_MEMORY") && message.contains("MiB"), "{message}");
}

#[test]
fn variables_take_the_type_of_their_key() {
    let variables = [
        ("BULKHEAD_DATA", "7"),
        ("BULKHEAD_ALLOW_WEAKER_SANDBOX", "true"),
        ("BULKHEAD_GRACE", "5s"),
        ("BULKHEAD_DEFAULTS_MEMORY", "1GiB"),
        ("BULKHEAD_ALLOWED_HOSTS", "a.example, b.example"),
    ];
    let config = load_text("", &variables, "").unwrap();
    assert_eq!(config.data, PathBuf::from("7"));
    assert!(config.allow_weaker_sandbox);
    assert_eq!(config.grace.0, Duration::from_secs(5));
    assert_eq!(config.defaults.limits().memory_bytes, 1 << 30);
    assert_eq!(config.allowed_hosts, ["a.example", "b.example"]);
}

#[test]
fn every_key_of_the_defaults_is_known_and_every_known_key_exists() {
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    let mut keys = Vec::new();
    for (key, value) in &defaults {
        match value {
            toml::Value::Table(table) => keys.extend(table.keys().map(|inner| format!("{key}.{inner}"))),
            _ => keys.push(key.clone()),
        }
    }
    for key in &keys {
        assert!(layer::KEYS.contains(&key.as_str()), "{key} has no variable");
    }
    // These have no default, so a configuration of defaults does not write them.
    let absent = ["defaults.cpu", "join_key", "join_key_file", "redis", "runner", "workers"];
    for key in layer::KEYS.iter().filter(|key| !absent.contains(*key)) {
        assert!(keys.iter().any(|known| known == key), "{key} does not exist");
    }
}

#[test]
fn an_address_beyond_this_machine_needs_consent() {
    let front = |file: &str, flags: &str| load_text(file, &[], flags).unwrap().check_front();
    assert!(matches!(front("host = \"0.0.0.0\"", ""), Err(Error::Unauthenticated { .. })));
    assert!(front("host = \"0.0.0.0\"", "allow_unauthenticated = true").is_ok());
    assert!(front("host = \"::1\"", "").is_ok());
}

#[test]
fn bounds_hold_at_and_beyond_their_edges() {
    assert!(load_text("[gateway]\ninput_bytes = \"64MiB\"", &[], "").is_ok());
    assert!(load_text("[gateway]\ninput_bytes = \"65MiB\"", &[], "").is_err());
    assert!(load_text("[gateway]\ninput_bytes = 0", &[], "").is_err());
    assert!(load_text("[gateway]\nsync_calls = 0", &[], "").is_err());
    assert!(load_text("[gateway]\nbody_memory = \"1MiB\"", &[], "").is_err());
    assert!(load_text("[defaults]\nmemory = \"4GiB\"", &[], "").is_ok());
    assert!(load_text("[defaults]\nmemory = \"5GiB\"", &[], "").is_err());
    assert!(load_text("[caps]\nthreads = 63", &[], "").is_err());
    assert!(load_text("slots = 1024", &[], "").is_ok());
    assert!(load_text("slots = 1025", &[], "").is_err());
    assert!(load_text("workers = 1024", &[], "").is_ok());
    assert!(load_text("workers = 1025", &[], "").is_err());
    assert!(load_text(&format!("redis_namespace = \"{}\"", "n".repeat(64)), &[], "").is_ok());
    assert!(load_text(&format!("redis_namespace = \"{}\"", "n".repeat(65)), &[], "").is_err());
    assert!(load_text("redis_namespace = \"\"", &[], "").is_err());
    assert!(load_text("redis_namespace = \"a{b}\"", &[], "").is_err());
    assert!(load_text("[defaults]\ntmp = 0", &[], "").is_err());
    assert!(load_text("[defaults]\ntmp_inodes = 0", &[], "").is_err());
}

#[test]
fn a_function_has_a_configuration_of_its_own() {
    let config = load_text("[functions.resize.config]\nquality = 80", &[], "").unwrap();
    assert_eq!(config.function_configs()["resize"], "{\"quality\":80}");
    assert!(load_text("[functions.resize]\nquality = 80", &[], "").is_err());
}

#[test]
fn every_key_of_the_distributed_half_is_read_from_a_variable() {
    let variables = [
        ("BULKHEAD_REDIS", "redis://:secret@h:6379"),
        ("BULKHEAD_REDIS_NAMESPACE", "blue"),
        ("BULKHEAD_WAIT", "1s"),
        ("BULKHEAD_MODE", "push"),
        ("BULKHEAD_DISPATCHER_HOST", "::1"),
        ("BULKHEAD_DISPATCHER_PORT", "7777"),
        ("BULKHEAD_WORKERS", "0"),
        ("BULKHEAD_JOIN_KEY_FILE", "join.key"),
    ];
    let config = load_text("", &variables, "").unwrap();
    assert_eq!(config.redis, Some(StoreUrl::new("redis://:secret@h:6379")));
    assert_eq!((config.redis_namespace.as_str(), config.wait.0), ("blue", Duration::from_secs(1)));
    assert_eq!((config.mode, config.workers), (Mode::Push, Some(0)));
    assert_eq!((config.dispatcher_host.to_string().as_str(), config.dispatcher_port), ("::1", 7777));
    assert_eq!(config.join_key_file, Some("join.key".into()));
    assert!(!format!("{config:?}").contains("secret"));
    let message = told(load_text("", &[("BULKHEAD_MODE", "shove")], "").unwrap_err());
    assert!(message.contains("BULKHEAD_MODE") && message.contains("`pull`"), "{message}");
}

#[test]
fn workers_on_other_machines_need_a_join_key() {
    let key = |file: &str| load_text(file, &[], "").unwrap().dispatcher_join_key();
    assert!(key("").unwrap().is_none());
    assert!(key("dispatcher_host = \"127.1.2.3\"").unwrap().is_none());
    let message = told(key("dispatcher_host = \"0.0.0.0\"").unwrap_err());
    assert!(message.contains("0.0.0.0") && message.contains("/dev/urandom"), "{message}");
    assert!(message.contains("--join-key-file"), "{message}");
    let given = "dispatcher_host = \"0.0.0.0\"\njoin_key = \"0123456789abcdef\"";
    assert!(key(given).unwrap().is_some());
}

#[test]
fn a_join_key_comes_from_one_place_and_is_long_enough() {
    let message = told(load_text("join_key = \"0123456789abcde\"", &[], "").unwrap_err());
    assert!(message.contains("join_key") && message.contains("15") && !message.contains("abcde"), "{message}");
    let both = "join_key = \"0123456789abcdef\"\njoin_key_file = \"x\"";
    assert!(told(load_text(both, &[], "").unwrap_err()).contains("join_key_file"));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("join.key");
    let read = || load_text(&format!("join_key_file = {path:?}"), &[], "").unwrap().read_join_key();
    assert!(matches!(read(), Err(Error::JoinKeyFile { .. })));
    std::fs::write(&path, "short\n").unwrap();
    assert!(matches!(read(), Err(Error::Value { .. })));
    std::fs::write(&path, "0123456789abcdef\n").unwrap();
    let text = load_text("join_key = \"0123456789abcdef\"", &[], "").unwrap();
    assert_eq!(read().unwrap(), text.read_join_key().unwrap());
}

#[test]
fn every_key_is_in_the_documentation() {
    let page = include_str!("../../../docs/configuration.md");
    for key in layer::KEYS {
        let name = key.rsplit('.').next().unwrap();
        assert!(page.contains(&format!("\n| `{name}` |")), "docs/configuration.md does not describe {key}");
    }
}
