//! What a function can be granted: refused unless the server grants it, held to its bounds where it does.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::OnceLock;

use bulkhead_tests::hostile::settled;
use bulkhead_tests::{Client, Options, Server, checkout, eventually};
use nix::libc;
use serde_json::{Value, json};

use crate::surroundings::{executables, problem, server_with, start};

/// The package of `tests/grants`.
fn grants() -> &'static [u8] {
    static PACKAGE: OnceLock<Vec<u8>> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("grants.bhpkg");
        let command_line = bulkhead_tests::CommandLine::new(executables(), &checkout());
        command_line.run(&["build", "tests/grants", "--out", file.to_str().expect("UTF-8")]).expect(0);
        std::fs::read(file).expect("a package")
    })
}

/// Everything is granted to whoever asks.
const ALL: &str = "slots = 1\n[caps]\nnetwork = true\nprocesses = true\njit = true\n";

/// A server that grants everything, as the user of `options`.
#[track_caller]
fn server(options: Options) -> Server {
    let server = server_with(Options { config: ALL.to_owned(), ..options }, &["hello"]);
    server.client().register(grants()).expect(201);
    server
}

fn call(client: &Client, function: &str, arguments: Value) -> Value {
    client.invoke(function, &arguments).expect(200).json()
}

#[test]
fn nothing_is_granted_unless_the_server_says_so() {
    for (grant, caps) in [
        ("network", "processes = true\njit = true"),
        ("processes", "network = true\njit = true"),
        ("jit", "network = true\nprocesses = true"),
    ] {
        let server = start(Options::config(&format!("[caps]\n{caps}\n")));
        let problem = problem(server.client().register(grants()), 422, "limit-above-cap");
        assert_eq!((&problem["limit"], &problem["limit_value"]), (&json!(grant), &json!(0)), "{problem}");
        assert_eq!(problem["asked_value"], 1, "{problem}");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(&format!("{grant} = true")), "{detail}");
        assert!(detail.contains(&format!("caps.{grant} = false")), "{detail}");
        server.stop();
    }
}

#[test]
fn isolation_below_the_weakest_is_refused() {
    let server = start(Options::config("[caps]\nisolation = \"fresh\"\n"));
    let problem = problem(server.client().register(crate::isolation::isolated()), 422, "limit-above-cap");
    assert_eq!(problem["limit"], "isolation", "{problem}");
    let detail = problem["detail"].as_str().expect("text");
    assert!(detail.contains("isolation = \"reuse\"") && detail.contains("caps.isolation = \"fresh\""), "{detail}");
    server.stop();
}

/// What the network gives, and what it does not.
#[track_caller]
pub(crate) fn network(options: Options) {
    let server = server(options);
    let client = server.client();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut word = String::new();
        stream.read_to_string(&mut word).expect("a word");
        stream.write_all(word.to_uppercase().as_bytes()).expect("an answer");
    });
    assert_eq!(call(&client, "asks", json!({"address": address, "word": "hello"})), "HELLO");
    echo.join().expect("it answers");
    let beyond = call(&client, "goes_beyond_the_network", json!({}));
    let no_family = libc::EAFNOSUPPORT;
    let listening = beyond[0].as_i64().expect("a number");
    // Landlock refuses the name, the filter the listening.
    assert!([libc::EACCES, libc::EPERM].map(i64::from).contains(&listening), "{beyond}");
    assert_eq!(
        beyond.as_array().expect("a list")[1..],
        [no_family, no_family, no_family, no_family, 0].map(Value::from)
    );
    server.stop();
}

#[test]
fn a_function_with_network_connects_and_serves_nobody() {
    network(Options::default());
}

/// What a function may start ends with its call.
#[track_caller]
pub(crate) fn processes(options: Options) {
    let server = server(options);
    let client = server.client();
    assert_eq!(call(&client, "forks", json!([42])), 42);
    let eperm = Value::from(libc::EPERM);
    let away = call(&client, "tries_to_get_away", json!({}));
    assert_eq!(away, Value::from(vec![eperm; 5]));
    let before = settled(&server);
    for count in [1, 5, 1000] {
        let made = call(&client, "leaves_processes", json!([count])).as_u64().expect("a number");
        assert!((1..=16).contains(&made), "{made} of {count}");
        eventually("what a call started ends with it", || {
            let now = server.footprint();
            // The first call of this function came with a runner of its own, a later one with a second slot.
            let expected = [before.processes + 4, before.processes + 6];
            if expected.contains(&now.processes) { Ok(()) } else { Err(format!("{now:#?}")) }
        });
    }
    assert_eq!(call(&client, "forks", json!([7])), 7);
    let problem = problem(client.invoke("copy_is_refused_a_call", &json!({})), 500, "policy-violation");
    assert_eq!(problem["outcome"]["syscall"], "ptrace", "{problem}");
    assert_eq!(client.invoke("hello", &json!({"who": "canary"})).expect(200).json(), "Hello, canary!");
    server.stop();
}

#[test]
fn a_function_with_processes_leaves_none_behind() {
    processes(Options::default());
}

#[test]
#[cfg(target_arch = "x86_64")]
fn new_code_runs_where_it_was_granted_and_nowhere_else() {
    let server = server(Options::default());
    let client = server.client();
    assert_eq!(call(&client, "compiles", json!({})), 42);
    assert_eq!(call(&client, "compiles_without_leave", json!({})), libc::EPERM);
    server.stop();
}
