//! Everything at once: 10,000 tasks, and every second something dies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bulkhead_tests::{Client, Cluster, Layout, Mode, Part, eventually_within};
use reqwest::Method;
use serde_json::{Value, json};

use crate::setup::{cluster, pull_and_push};

pull_and_push!(ten_thousand_tasks_and_a_kill_every_second);

/// Tasks in flight when it begins.
const TASKS: usize = 10_000;
/// Tasks of one request.
const BATCH: usize = 200;
/// How often something dies.
const EVERY: Duration = Duration::from_secs(1);
/// How long that goes on.
const STORM: Duration = Duration::from_secs(60);
/// How long the rest may take; a task that is stuck takes for ever.
const REST: Duration = Duration::from_secs(300);
/// Clients that ask for results at once.
const ASKING: usize = 8;
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

/// A task and what it comes to; together they keep the workers busy for longer than the storm.
fn task(number: usize) -> (Value, Value) {
    match number % 3 {
        0 => {
            let who = number.to_string();
            (json!({"function": "hello", "args": [who]}), json!(format!("Hello, {who}!")))
        }
        _ => {
            let time = 40 + number % 60;
            (json!({"function": "sleep", "args": [time]}), json!(time))
        }
    }
}

/// Submits all, and returns the task of each number.
#[track_caller]
fn submit_all(client: &Client) -> Vec<String> {
    let mut ids = Vec::with_capacity(TASKS);
    for first in (0..TASKS).step_by(BATCH) {
        let lines = (first..first + BATCH).map(|number| {
            let mut document = task(number).0;
            document["idempotency_key"] = json!(format!("storm-{number}"));
            format!("{document}\n")
        });
        let part = Part::typed("application/x-ndjson", lines.collect::<String>());
        let answer = client.insist(&Method::POST, "/v1/tasks:batch", &part).expect(200).text();
        ids.extend(answer.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            line["task_id"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
        }));
    }
    assert_eq!(ids.len(), TASKS);
    ids
}

/// Kills one of all and starts it again; says which.
#[track_caller]
fn kill_one(cluster: &mut Cluster, seed: &mut u64) -> &'static str {
    let away = Duration::from_millis(next(seed) % 500);
    let (members, what) = match next(seed) % 4 {
        0 => {
            cluster.redis[0].kill();
            std::thread::sleep(away);
            cluster.redis[0].restart();
            return "redis";
        }
        1 => (&mut cluster.workers, "worker"),
        2 => (&mut cluster.dispatchers, "dispatcher"),
        _ => (&mut cluster.gateways, "gateway"),
    };
    let one = next(seed) % members.len() as u64;
    let member = &mut members[one as usize];
    member.kill();
    std::thread::sleep(away);
    member.restart();
    what
}

/// Every task as the lists have it: its status, attempt and end.
#[track_caller]
fn listed(client: &Client) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/tasks?limit=1000{cursor}");
        let page = client.insist(&Method::GET, &path, &Part::none()).expect(200).json();
        for task in page["tasks"].as_array().expect("a list") {
            let facts = json!([task["status"], task["attempt"], task["ended_at"], task["outcome"]["kind"]]);
            all.insert(task["task_id"].as_str().expect("an id").to_owned(), facts);
        }
        let Some(next) = page["cursor"].as_str() else { return all };
        cursor = format!("&cursor={next}");
    }
}

fn ten_thousand_tasks_and_a_kill_every_second(mode: Mode) {
    let given = std::env::var(SEED).ok().map(|text| text.parse().expect("a number"));
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_nanos().into();
    let mut seed: u64 = given.unwrap_or_else(now);
    println!("{SEED}={seed}");
    let layout = Layout { gateways: 2, dispatchers: 2, ..Layout::new(mode).workers(4).slots(2) };
    let mut cluster = cluster(layout, &["sleep", "hello"]);
    let client = cluster.client();
    let ids = submit_all(&client);

    let mut killed: BTreeMap<&str, usize> = BTreeMap::new();
    let began = Instant::now();
    for kill in 1.. {
        *killed.entry(kill_one(&mut cluster, &mut seed)).or_default() += 1;
        if began.elapsed() > STORM {
            break;
        }
        std::thread::sleep((EVERY * kill).saturating_sub(began.elapsed()));
    }
    let open = |client: &Client| listed(client).values().filter(|facts| facts[2].is_null()).count();
    let left = open(&client);
    println!("{}: killed {killed:?}; {left} of {TASKS} tasks are still open", mode.as_str());
    let calm = Instant::now();
    eventually_within(REST, "every task has an end", || {
        let open = open(&client);
        std::thread::sleep(Duration::from_millis(200));
        if open == 0 { Ok(()) } else { Err(format!("{open} tasks have none")) }
    });
    println!("{}: all have ended {:?} after the last kill", mode.as_str(), calm.elapsed());
    assert!(left > 0, "everything had ended before the storm did");

    let ended = listed(&client);
    assert_eq!(ended.len(), TASKS, "tasks that nobody submitted, or a submission that became two");
    let asked = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..ASKING {
            scope.spawn(|| {
                while let Some((number, id)) =
                    Some(asked.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, ids.get(n)?)))
                {
                    let answer = client.result_at_last(id);
                    assert_eq!(answer["result"], task(number).1, "task {number}: {answer} {}", ended[id]);
                }
            });
        }
    });
    let again = ended.values().filter(|facts| facts[1] != 1).count();
    println!("{}: {again} of {TASKS} tasks needed more than one attempt", mode.as_str());

    // An end is an end: whoever comes back now changes none.
    for member in cluster.members() {
        member.kill();
        member.restart();
    }
    cluster.gateways[0].wait_for("listening");
    cluster.wait_for_workers(4);
    assert!(listed(&client) == ended, "tasks that had ended were touched");
    cluster.stop();
}
