//! The commands that need a server: invoke, functions, tasks.

use std::fs;

use bulkhead_tests::Options;
use serde_json::json;

use crate::surroundings::server_with;

/// The rows of a piped table.
struct Table<'a> {
    headers: Vec<&'a str>,
    rows: Vec<Vec<&'a str>>,
}

impl<'a> Table<'a> {
    #[track_caller]
    fn read(text: &'a str) -> Self {
        assert!(!text.contains('\u{1b}'), "a pipe has no colours");
        let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let headers = lines.next().unwrap_or_default();
        let rows: Vec<_> = lines.collect();
        assert!(rows.iter().all(|row| row.len() == headers.len()), "{text}");
        Self { headers, rows }
    }

    /// The cells under these headers, row by row.
    #[track_caller]
    fn cells<const N: usize>(&self, headers: [&str; N]) -> Vec<[&'a str; N]> {
        let place = |header: &str| self.headers.iter().position(|found| *found == header);
        let places =
            headers.map(|header| place(header).unwrap_or_else(|| panic!("{header} is not in {:?}", self.headers)));
        self.rows.iter().map(|row| places.map(|place| row[place])).collect()
    }
}

#[test]
fn invoke_has_the_exit_code_of_the_outcome() {
    let server = server_with(Options::default(), &["hello", "fibonacci", "faulty", "sleep"]);
    let ok = server.cli(&["invoke", "hello", "--data", "{\"who\": \"Ada\"}"]).expect(0);
    assert_eq!((ok.stdout.as_str(), ok.stderr.as_str()), ("\"Hello, Ada!\"\n", ""));
    let json = server.cli(&["invoke", "hello", "-d", "[\"Ada\"]", "--json"]).expect(0).json();
    assert_eq!((&json["status"], &json["result"]), (&json!("COMPLETED"), &json!("Hello, Ada!")));

    let failed = server.cli(&["invoke", "fibonacci", "--data", "[51]"]).expect(2);
    assert_eq!(failed.stdout, "");
    assert!(
        failed.stderr.contains("error: the function failed: expected n up to 50, found 51 (n_too_large)"),
        "{}",
        failed.stderr
    );
    let failed = server.cli(&["invoke", "fibonacci", "--data", "[51]", "--json"]).expect(2).failure();
    assert_eq!((&failed["exit_code"], &failed["problem"]["status"]), (&json!(2), &json!(500)));
    for (function, words) in [
        ("segv", "the function crashed with SIGSEGV"),
        ("exit_42", "the function ended its process with exit code 42"),
        ("panics", "a deliberate panic"),
    ] {
        let failed = server.cli(&["invoke", function]).expect(2);
        assert!(failed.stderr.contains(words), "{}", failed.stderr);
    }
    let wrong = server.cli(&["invoke", "hello", "--data", "{\"who\": 1}"]).expect(2);
    assert!(wrong.stderr.contains("the input does not fit at args.who: "), "{}", wrong.stderr);

    let late = server.cli(&["invoke", "sleep", "--data", "[60000]", "--timeout", "200ms"]).expect(124);
    assert!(late.stderr.contains("longer than its limit of 200 ms"), "{}", late.stderr);
    let unknown = server.cli(&["invoke", "nobody"]).expect(1);
    assert!(
        unknown.stderr.contains("unknown function (404)") && unknown.stderr.contains("functions ls"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn invoke_reads_files_and_stdin_and_whole_batches() {
    let server = server_with(Options::default(), &["hello"]);
    let at = |name: &str| server.folder().join(name);
    fs::write(at("call.json"), "{\"who\": \"File\"}").expect("a file");
    assert_eq!(server.cli(&["invoke", "hello", "--data-file", "call.json"]).expect(0).stdout, "\"Hello, File!\"\n");
    let piped = server.command_line().input("[\"Pipe\"]").run(&["invoke", "hello", "--data-file", "-"]).expect(0);
    assert_eq!(piped.stdout, "\"Hello, Pipe!\"\n");

    fs::write(at("calls.jsonl"), "[\"a\"]\n\n{\"who\": \"b\"}\n[1]\n").expect("a file");
    let batch = server.cli(&["invoke", "hello", "--batch", "calls.jsonl"]).expect(2);
    assert_eq!(batch.stdout, "\"Hello, a!\"\n\"Hello, b!\"\nnull\n");
    assert!(batch.stderr.contains("3 calls in") && batch.stderr.contains("2 succeeded, 1 failed"), "{}", batch.stderr);
    let wrong = server.command_line().input("[1]\nnope\n").run(&["invoke", "hello", "--batch", "-"]).expect(1);
    assert!(wrong.stderr.contains("line 2 is no JSON"), "{}", wrong.stderr);
}

#[test]
fn tasks_from_the_shell() {
    let server = server_with(Options::default(), &["hello", "sleep", "faulty"]);
    let submitted = server.cli(&["invoke", "hello", "--data", "[\"Ada\"]", "--async"]).expect(0);
    let hello = submitted.stdout.trim();
    assert_eq!(server.cli(&["tasks", "wait", hello]).expect(0).stdout, "\"Hello, Ada!\"\n");
    assert_eq!(server.cli(&["tasks", "result", hello]).expect(0).stdout, "\"Hello, Ada!\"\n");
    assert_eq!(server.cli(&["tasks", "result", hello, "--json"]).expect(0).json()["result"], "Hello, Ada!");
    let shown = server.cli(&["tasks", "get", hello]).expect(0);
    let facts = Table::read(&shown.stdout).cells(["FACT", "VALUE"]);
    assert!(facts.contains(&["status", "COMPLETED"]) && facts.contains(&["outcome", "Succeeded"]), "{facts:?}");
    assert_eq!(server.cli(&["tasks", "get", hello, "--json"]).expect(0).json()["task_id"], hello);

    let sleeping = server.cli(&["invoke", "sleep", "--data", "[60000]", "--async", "--json"]).expect(0).json();
    let sleeping = sleeping["task_id"].as_str().expect("an id").to_owned();
    let late = server.cli(&["tasks", "wait", &sleeping, "--timeout", "200ms"]).expect(124);
    assert!(late.stderr.contains(&format!("task {sleeping} is still ")), "{}", late.stderr);
    server.cli(&["tasks", "result", &sleeping]).expect(1);
    assert_eq!(server.cli(&["tasks", "cancel", &sleeping]).expect(0).stdout, format!("cancelled {sleeping}\n"));
    server.cli(&["tasks", "wait", &sleeping]).expect(2);
    let over = server.cli(&["tasks", "cancel", hello]).expect(1);
    assert!(over.stderr.contains("the task had ended as COMPLETED"), "{}", over.stderr);

    let flood = server.cli(&["invoke", "stdout_flood", "--data", "[64]", "--async"]).expect(0);
    server.cli(&["tasks", "wait", flood.stdout.trim()]).expect(0);
    let logs = server.cli(&["tasks", "logs", flood.stdout.trim()]).expect(0);
    assert_eq!(logs.stdout, "the flood is rising, and it rises, and it rises, and it rises...\n");

    let listed = server.cli(&["tasks", "ls"]).expect(0);
    let expected = [
        [flood.stdout.trim(), "stdout_flood", "COMPLETED", "Succeeded"],
        [&sleeping, "sleep", "FAILED", "Cancelled"],
        [hello, "hello", "COMPLETED", "Succeeded"],
    ];
    assert_eq!(Table::read(&listed.stdout).cells(["TASK ID", "FUNCTION", "STATUS", "OUTCOME"]), expected);
    let failed = server.cli(&["tasks", "ls", "--status", "failed", "--json"]).expect(0).json();
    assert_eq!(failed.as_array().map(Vec::len), Some(1));
    assert_eq!(failed[0]["task_id"], sleeping);
    server.cli(&["tasks", "get", "01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e"]).expect(1);
}

#[test]
fn functions_from_the_shell() {
    let server = server_with(Options::default(), &["hello", "noop"]);
    let listed = server.cli(&["functions", "ls"]).expect(0);
    let facts = Table::read(&listed.stdout).cells(["FUNCTION", "VERSION", "ISOLATION"]);
    assert_eq!(facts, [["hello", "1", "fresh"], ["noop", "1", "fresh"], ["noop_reuse", "1", "reuse"]]);
    assert_eq!(Table::read(&listed.stdout).cells(["DESCRIPTION"])[0], ["Greets somebody."]);

    let described = server.cli(&["functions", "describe", "hello"]).expect(0);
    assert!(described.stdout.starts_with("hello@1\n\nGreets somebody.\n"), "{}", described.stdout);
    assert!(described.stdout.contains("\nwho\tyes\tstring\t"), "{}", described.stdout);
    assert_eq!(server.cli(&["functions", "describe", "hello", "--json"]).expect(0).json()["name"], "hello");
    let set = server.cli(&["functions", "alias", "hello:prod", "1"]).expect(0);
    assert_eq!(set.stdout, "hello:prod means hello@1\n");
    let versions = server.cli(&["functions", "versions", "hello"]).expect(0);
    assert_eq!(Table::read(&versions.stdout).cells(["FUNCTION", "VERSION", "ALIASES"]), [["hello", "1", "prod"]]);

    let asked = server.cli(&["functions", "rm", "noop"]).expect(1);
    assert!(asked.stderr.contains("needs --yes"), "{}", asked.stderr);
    assert_eq!(server.cli(&["functions", "rm", "hello@1"]).expect(0).stdout, "removed hello@1\n");
    assert_eq!(server.cli(&["functions", "rm", "noop", "--yes"]).expect(0).stdout, "removed noop@1\n");
    let left = server.cli(&["functions", "ls", "--json"]).expect(0).json();
    assert_eq!(left.as_array().map(Vec::len), Some(1));
    assert_eq!(left[0]["name"], "noop_reuse");
}
