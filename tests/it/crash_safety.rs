//! `kill -9` at random moments under load: every acknowledged task is there afterwards and reaches one
//! end, with the right result.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bulkhead_tests::{Client, Options, Part, Server};
use reqwest::Method;
use serde_json::{Value, json};

use crate::surroundings::server_with;

/// Lives of a server; more where they are too short for a load.
const ROUNDS: u64 = 5;
/// Tasks that are a load.
const ENOUGH: usize = 50;
/// Clients that submit at once.
const SUBMITTERS: u64 = 4;
/// The longest life of a server.
const LONGEST_LIFE_MS: u64 = 1500;
/// Names the seed to repeat a run with.
const SEED: &str = "BULKHEAD_TEST_SEED";

/// Steele, Lea and Flood's SplitMix64 (OOPSLA 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn seed() -> u64 {
    let given = std::env::var(SEED).ok().map(|text| text.parse().expect("a number"));
    given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_nanos().into())
}

/// A task's document and what it comes to.
fn task(number: u64) -> (Value, Value) {
    match number % 4 {
        0 => (json!({"function": "sleep", "args": [number % 40]}), json!(number % 40)),
        1 => (json!({"function": "fibonacci", "args": [51]}), Value::Null),
        2 => (json!({"function": "fibonacci", "args": [20]}), json!(6765)),
        _ => {
            let who = number.to_string();
            (json!({"function": "hello", "args": [who]}), json!(format!("Hello, {who}!")))
        }
    }
}

/// Submits until the server is gone; returns what was acknowledged, with what each comes to.
fn submit_all(client: &Client, mut number: u64, stop: &AtomicBool) -> BTreeMap<String, Value> {
    let mut acknowledged = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let (document, result) = task(number);
        number += 1;
        // Three ways to a task: all count from their answer on.
        let answer = match number % 3 {
            0 => client.try_call(Method::POST, "/v1/tasks", Part::json(&document)),
            1 => client.try_call(
                Method::POST,
                "/v1/tasks:batch",
                Part::typed("application/x-ndjson", document.to_string()),
            ),
            _ => {
                let path = format!("/v1/functions/{}/invoke", document["function"].as_str().expect("a name"));
                client.try_call(Method::POST, &path, Part::json(&document["args"]).header("prefer", "respond-async"))
            }
        };
        let Ok(answer) = answer else { break };
        assert!(matches!(answer.status, 200..=202), "{}", answer.text());
        let id = answer.json()["task_id"].as_str().expect("an id").to_owned();
        assert!(acknowledged.insert(id, result).is_none(), "an id was given twice");
    }
    acknowledged
}

#[test]
fn acknowledged_tasks_survive_kill_9_and_end_once() {
    let mut seed = seed();
    println!("{SEED}={seed}");
    let mut server = server_with(Options::slots(2), &["sleep", "fibonacci", "hello"]);
    let mut acknowledged: BTreeMap<String, Value> = BTreeMap::new();
    for round in 0.. {
        if round >= ROUNDS && acknowledged.len() > ENOUGH {
            break;
        }
        assert!(round < 10 * ROUNDS, "{} tasks are no load", acknowledged.len());
        let stop = Arc::new(AtomicBool::new(false));
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|submitter| {
                let (client, stop) = (server.client(), Arc::clone(&stop));
                let first = round * 1_000_000 + submitter * 10_000;
                std::thread::spawn(move || submit_all(&client, first, &stop))
            })
            .collect();
        // The moment of the crash is the point of the test: there is no event to wait for.
        std::thread::sleep(Duration::from_millis(100 + next(&mut seed) % LONGEST_LIFE_MS));
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for submitter in submitters {
            acknowledged.append(&mut submitter.join().expect("it stops with the server"));
        }
        server = server.restart();
        println!("round {round}: {} acknowledged so far", acknowledged.len());
    }
    check(&server, &acknowledged);
    // An end stays what it is.
    let server = server.restart();
    check(&server, &acknowledged);
    server.stop();
}

/// Checks that each task is there, has ended, and ended as it must.
fn check(server: &Server, acknowledged: &BTreeMap<String, Value>) {
    let client = server.client();
    for (task, expected) in acknowledged {
        let answer = client.result(task);
        let (status, kind) = if expected.is_null() { ("FAILED", "FunctionError") } else { ("COMPLETED", "Succeeded") };
        assert_eq!((&answer["status"], &answer["result"]), (&json!(status), expected), "{answer}");
        assert_eq!(answer["outcome"]["kind"], kind, "{answer}");
    }
    let listed = |filter: &str| {
        let mut count = 0;
        let mut cursor = String::new();
        loop {
            let page = client.get(&format!("/v1/tasks?limit=1000{filter}{cursor}")).expect(200).json();
            count += page["tasks"].as_array().expect("a list").len();
            let Some(next) = page["cursor"].as_str() else { return count };
            cursor = format!("&cursor={next}");
        }
    };
    // A task whose answer was cut off by the crash may be there too; none is without an end for long.
    assert!(listed("") >= acknowledged.len());
    bulkhead_tests::eventually("every task has an end", || {
        let open = listed("&status=queued") + listed("&status=running");
        if open == 0 { Ok(()) } else { Err(format!("{open} have none")) }
    });
}

#[test]
fn a_killed_server_takes_its_processes_along() {
    let mut server = server_with(Options::config("slots = 2\ngrace = \"200ms\"\n"), &["sleep", "faulty"]);
    let client = server.client();
    for document in [json!({"function": "sleep", "args": [60_000]}), json!({"function": "spins", "args": []})] {
        let task = client.submit(&document);
        bulkhead_tests::eventually("the task runs", || {
            let status = client.get(&format!("/status/{task}")).expect(200).json();
            if status["status"] == "RUNNING" { Ok(()) } else { Err(status.to_string()) }
        });
    }
    let processes = bulkhead_tests::eventually("both have a runner with a child", || {
        let processes = server.processes();
        if processes.len() >= 6 { Ok(processes) } else { Err(format!("{processes:?}")) }
    });
    server.kill();
    let pids = server.pids();
    for process in processes {
        bulkhead_tests::eventually("processes of the server end with it", || process.is_gone());
    }
    // Nobody was left to remove the groups; the next server does.
    let server = server.restart();
    for pid in pids {
        assert_eq!(bulkhead_tests::cgroups_of(pid), std::collections::BTreeSet::new());
    }
    server.stop();
}
