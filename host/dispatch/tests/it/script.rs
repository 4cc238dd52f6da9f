//! A script language for dispatcher tests: one input a line, `TIME VERB ARGUMENTS`, for example
//! `5ms ended w1 t3#1 ok`. The transcript repeats each line with its outputs below it.
//!
//! Tasks are `t1`, `t2` …, workers `w1` …, functions `a` to `z`, attempts `t1#2`, times in whole
//! milliseconds. A first line `config KEY=VALUE …` changes bounds.
//!
//! `arrive t1 a` is a new task of function `a`; `failed=2`, `drained=2`, `lost=2` and `lost=2@w1` (on
//! that worker) say how its attempt 2 ended, `losses=1` and the like what it has used up. `hello w1 push
//! 2 t1#1` is a worker with two slots that has an attempt in hand.

use std::fmt::Write as _;
use std::time::Duration;

use bulkhead_dispatch::{
    Arrival, CancelAnswer, Config, Cut, Dispatcher, Input, Output, Record, RecoverAnswer, WorkerKind,
};
use bulkhead_protocol::id::{FunctionId, TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Attempt, Priority, RetryPolicy, Spent};

/// Runs a script with seed 1 and returns its transcript.
pub(crate) fn run(script: &str) -> String {
    let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let mut transcript = String::new();
    let mut config = Config::default();
    if let Some(line) = lines.next_if(|line| line.starts_with("config ")) {
        configure(&mut config, line);
        writeln!(transcript, "{line}").unwrap();
    }
    let mut dispatcher = Dispatcher::new(config, 1);
    for line in lines {
        writeln!(transcript, "{line}").unwrap();
        let (time, rest) = line.split_once(' ').unwrap();
        dispatcher.handle(millis(time), input(rest));
        while let Some(output) = dispatcher.poll() {
            writeln!(transcript, "      -> {}", show(&output)).unwrap();
        }
    }
    transcript
}

pub(crate) fn task(number: u64) -> TaskId {
    format!("00000000-0000-7000-8000-{number:012x}").parse().unwrap()
}

pub(crate) fn worker(number: u64) -> WorkerId {
    format!("00000000-0000-4000-8000-{number:012x}").parse().unwrap()
}

pub(crate) fn function(letter: char) -> FunctionId {
    format!("00000000-0000-4000-8000-{:012x}", u32::from(letter)).parse().unwrap()
}

/// A task of function `letter` as it arrives for the first time, with all defaults.
pub(crate) fn arrival(number: u64, letter: char) -> Arrival {
    Arrival {
        task: task(number),
        function: function(letter),
        priority: Priority::Normal,
        retry: RetryPolicy::default(),
        attempt: 0,
        cut: Cut::Lost { worker: None },
        spent: Spent::default(),
        concurrency: None,
        expires: None,
    }
}

fn configure(config: &mut Config, line: &str) {
    for pair in line.split(' ').skip(1) {
        let (key, value) = pair.split_once('=').unwrap();
        match key {
            "window" => config.window = value.parse().unwrap(),
            "prefetch" => config.prefetch = value.parse().unwrap(),
            "losses" => config.losses = value.parse().unwrap(),
            "returns" => config.returns = value.parse().unwrap(),
            "unrecorded" => config.unrecorded_bytes = value.parse().unwrap(),
            other => panic!("no such bound: {other}"),
        }
    }
}

fn input(line: &str) -> Input {
    let words: Vec<&str> = line.split(' ').collect();
    let word = |index: usize| *words.get(index).unwrap_or_else(|| panic!("{line:?} is too short"));
    let worker = || parse_worker(word(1));
    match word(0) {
        "arrive" => Input::Arrived(parse_arrival(&words[1..])),
        "claimed" => Input::Claimed,
        "claim-failed" => Input::ClaimFailed,
        "hello" => {
            let kind = match word(2) {
                "local" => WorkerKind::Local,
                "push" => WorkerKind::Push,
                "pull" => WorkerKind::Pull,
                other => panic!("no such kind of worker: {other}"),
            };
            let in_hand = words[4..].iter().map(|word| parse_attempt(word)).collect();
            Input::Hello { worker: worker(), kind, slots: word(3).parse().unwrap(), in_hand }
        }
        "ahead" => Input::Ahead { worker: worker(), ahead: word(2).parse().unwrap() },
        "rest" => Input::Resting { worker: worker(), resting: true },
        "wake" => Input::Resting { worker: worker(), resting: false },
        "disconnected" => Input::Disconnected { worker: worker() },
        "drain-worker" => Input::DrainWorker { worker: worker() },
        "recovered" => {
            let (task, attempt) = parse_attempt(word(1));
            let answer = match word(2) {
                "taken" => {
                    let number = word(1).split_once('#').unwrap().0;
                    RecoverAnswer::Taken(parse_arrival(&[&[number], &words[3..]].concat()))
                }
                "owned" => RecoverAnswer::Owned,
                "stale" => RecoverAnswer::Stale,
                "failed" => RecoverAnswer::Failed,
                other => panic!("no such answer: {other}"),
            };
            Input::Recovered { task, attempt, answer }
        }
        "fenced" => {
            let (task, attempt) = parse_attempt(word(1));
            Input::Fenced { task, attempt }
        }
        "taken-over" => Input::TakenOver,
        "ready" => Input::Ready { worker: worker(), count: word(2).parse().unwrap() },
        "heartbeat" => Input::Heartbeat { worker: worker() },
        "started" => {
            let (task, attempt) = parse_attempt(word(2));
            Input::Started { worker: worker(), task, attempt }
        }
        "ended" => {
            let (task, attempt) = parse_attempt(word(2));
            let bytes = words.get(4).map_or(0, |bytes| bytes.parse().unwrap());
            Input::Ended { worker: worker(), task, attempt, outcome: parse_outcome(word(3)), bytes }
        }
        "goodbye" => Input::Goodbye { worker: worker() },
        "cancel" => Input::Cancel { task: parse_task(word(1)) },
        "stored" => {
            let answer = match word(2) {
                "cancelled" => CancelAnswer::Cancelled,
                "running" => CancelAnswer::Running,
                "ended" => CancelAnswer::Ended,
                "unknown" => CancelAnswer::Unknown,
                "failed" => CancelAnswer::Failed,
                other => panic!("no such answer: {other}"),
            };
            Input::CancelStored { task: parse_task(word(1)), answer }
        }
        "recorded" => Input::Recorded { task: parse_task(word(1)), applied: words.len() == 2 },
        "record-failed" => Input::RecordFailed { task: parse_task(word(1)) },
        "drain" => Input::Drain { grace: millis(word(1)) },
        "tick" => Input::Tick,
        other => panic!("no such input: {other}"),
    }
}

fn parse_arrival(words: &[&str]) -> Arrival {
    let number = words[0].strip_prefix('t').unwrap().parse().unwrap();
    let mut arrival = arrival(number, words[1].parse().unwrap());
    for word in &words[2..] {
        match word.split_once('=') {
            None if *word == "high" => arrival.priority = Priority::High,
            None if *word == "low" => arrival.priority = Priority::Low,
            Some(("lost", lost)) => {
                let (attempt, worker) = match lost.split_once('@') {
                    Some((attempt, worker)) => (attempt, Some(parse_worker(worker))),
                    None => (lost, None),
                };
                (arrival.attempt, arrival.cut) = (attempt.parse().unwrap(), Cut::Lost { worker });
            }
            Some(("failures", count)) => arrival.spent.failures = count.parse().unwrap(),
            Some(("crashes", count)) => arrival.spent.crashes = count.parse().unwrap(),
            Some(("losses", count)) => arrival.spent.losses = count.parse().unwrap(),
            Some(("returns", count)) => arrival.spent.returns = count.parse().unwrap(),
            Some(("failed", attempt)) => {
                (arrival.attempt, arrival.cut) = (attempt.parse().unwrap(), Cut::Failed);
            }
            Some(("drained", attempt)) => {
                (arrival.attempt, arrival.cut) = (attempt.parse().unwrap(), Cut::Drained);
            }
            Some(("retry", max)) => arrival.retry.max = max.parse().unwrap(),
            Some(("limit", most)) => arrival.concurrency = Some(most.parse().unwrap()),
            Some(("expires", at)) => arrival.expires = Some(millis(at)),
            _ => panic!("no such option of a task: {word}"),
        }
    }
    arrival
}

fn parse_outcome(word: &str) -> Outcome {
    let error = |retryable| Outcome::FunctionError { code: "e".into(), message: "m".into(), retryable };
    match word {
        "ok" => Outcome::Succeeded,
        "error" => error(true),
        "final-error" => error(false),
        "panicked" => Outcome::Panicked { message: "m".into(), location: None },
        "crashed" => Outcome::Crashed { signal: "SIGSEGV".into() },
        "timed-out" => Outcome::TimedOut { limit_ms: 1000 },
        "setup-failed" => Outcome::SetupFailed { step: "mount".into(), errno: 1 },
        "cancelled" => Outcome::Cancelled,
        other => panic!("no such outcome: {other}"),
    }
}

fn parse_attempt(word: &str) -> (TaskId, Attempt) {
    let (task, attempt) = word.split_once('#').unwrap();
    (parse_task(task), attempt.parse().unwrap())
}

fn parse_worker(word: &str) -> WorkerId {
    worker(word.strip_prefix('w').unwrap().parse().unwrap())
}

fn parse_task(word: &str) -> TaskId {
    task(word.strip_prefix('t').unwrap().parse().unwrap())
}

fn millis(word: &str) -> Duration {
    Duration::from_millis(word.strip_suffix("ms").unwrap().parse().unwrap())
}

pub(crate) fn show(output: &Output) -> String {
    let t = |task: &TaskId| format!("t{}", task.0.as_u128() & 0xFFFF_FFFF);
    let w = |worker: &WorkerId| format!("w{}", worker.0.as_u128() & 0xFFFF_FFFF);
    match output {
        Output::Claim { max } => format!("claim {max}"),
        Output::StopClaiming => "stop claiming".into(),
        Output::Refuse { task, reason } => format!("refuse {}: {reason:?}", t(task)),
        Output::Release { task } => format!("release {}", t(task)),
        Output::Assign { worker, task, attempt } => format!("assign {}#{attempt} to {}", t(task), w(worker)),
        Output::CancelAttempt { worker, task, attempt } => {
            format!("cancel attempt {}#{attempt} on {}", t(task), w(worker))
        }
        Output::Recover { worker, task, attempt } => {
            format!("ask the store for {}#{attempt} in hand of {}", t(task), w(worker))
        }
        Output::AskToDrain { worker } => format!("ask {} to drain", w(worker)),
        Output::Record { task, attempt, record: Record::Finish { outcome, dead_letter } } => {
            let dead = if *dead_letter { " dead letter" } else { "" };
            format!("finish {}#{attempt} {}{dead}", t(task), outcome.kind())
        }
        Output::Record { task, attempt, record: Record::Requeue { outcome, spent, not_before } } => {
            let not_before = not_before.as_millis();
            format!("requeue {}#{attempt} {}{} not before {not_before}ms", t(task), outcome.kind(), show_spent(*spent))
        }
        Output::CancelStored { task } => format!("ask the store to cancel {}", t(task)),
        Output::CancelAnswered { task, result } => format!("answer cancel {}: {result:?}", t(task)),
        Output::DeadLetter { task, attempt } => format!("dead letter {}#{attempt}", t(task)),
        Output::Discard { worker, task, attempt } => format!("discard {}#{attempt} of {}", t(task), w(worker)),
        Output::Forget { task } => format!("forget {}", t(task)),
        Output::Evict { worker } => format!("evict {}", w(worker)),
        Output::Dismiss { worker } => format!("dismiss {}", w(worker)),
        Output::Drained => "drained".into(),
        Output::WakeAt(None) => "no wake-up".into(),
        Output::WakeAt(Some(at)) => format!("wake at {}ms", at.as_millis()),
    }
}

/// What is not zero, in the words of [`parse_arrival`].
fn show_spent(spent: Spent) -> String {
    let Spent { failures, crashes, losses, returns } = spent;
    let all = [("failures", failures), ("crashes", crashes), ("losses", losses), ("returns", returns)];
    all.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!(" {what}={count}")).collect()
}
