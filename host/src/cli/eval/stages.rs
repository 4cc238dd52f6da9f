//! Where the time of a queued call goes: each part of the cluster says where a task has come, and when; the
//! client says when it asked and when it had the answer. All on one machine, so that there is one clock.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use bulkhead_eval::results::{Isolation, Recorder, Setup, StageTime, Stages, Workload};
use tokio::time::Instant;

use crate::cli::measuring::cluster::{Cluster, StageLine};
use crate::cli::measuring::functions::Function;
use crate::cli::measuring::server::Server;
use crate::telemetry::stage::Stage;

/// The stages in the order in which a call passes them.
const NAMES: [&str; 7] = ["gateway", "queue", "dispatch", "worker link", "executor", "function", "return"];
/// How long the last lines of the parts may take to arrive.
const LINES_WITHIN: Duration = Duration::from_secs(5);
/// Wait between two looks whether they did.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A call as its client saw it; microseconds since the Unix epoch.
#[derive(Clone, Debug)]
struct Seen {
    task: String,
    sent_us: u64,
    answered_us: u64,
    /// How long the function's own process had the request.
    function_us: u64,
}

/// Makes queued calls one after the other on a cluster that says where tasks have come.
pub(super) async fn run(
    server: &Server,
    cluster: &Cluster,
    setup: Setup,
    isolation: Isolation,
    calls: u32,
) -> anyhow::Result<Stages> {
    let function = Function::of(Workload::Noop, isolation);
    // Lines of what was before.
    drop(cluster.take_stages());
    let mut seen = Vec::new();
    for _ in 0..calls {
        let sent_us = now_us();
        let called = server.call_queued(&function).await?;
        let answered_us = now_us();
        let task = called.task.context("the server does not name the task of a call")?;
        seen.push(Seen { task, sent_us, answered_us, function_us: 0 });
    }
    for call in &mut seen {
        let outcome = server.task(&call.task).await?.outcome;
        call.function_us = outcome.map_or(0, |outcome| outcome.usage.wall_us);
    }
    let mut marks = HashMap::new();
    let until = Instant::now() + LINES_WITHIN;
    loop {
        take(&mut marks, cluster.take_stages());
        if seen.iter().all(|call| parts_of(call, &marks).is_some()) || Instant::now() >= until {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(sum_up(setup, isolation, &seen, &marks))
}

/// Moments of tasks by task and stage; microseconds since the Unix epoch.
type Marks = HashMap<String, HashMap<String, u64>>;

fn take(marks: &mut Marks, lines: Vec<StageLine>) {
    for line in lines {
        // A stage that is reached again is reached by another attempt: the last counts.
        marks.entry(line.task).or_default().insert(line.stage, line.at_us);
    }
}

/// Microseconds in each of the stages; none where a moment is not known. They add up to the whole call.
fn parts_of(call: &Seen, marks: &Marks) -> Option<[u64; 7]> {
    let marks = marks.get(&call.task)?;
    let at = |stage: Stage| marks.get(stage.as_str()).copied();
    let [received, claimed, sent] = [at(Stage::Received)?, at(Stage::Claimed)?, at(Stage::Sent)?];
    let [begun, reported, heard] = [at(Stage::Begun)?, at(Stage::Reported)?, at(Stage::Heard)?];
    let answered = at(Stage::Answered)?;
    let executed = reported.saturating_sub(begun);
    // What the executor measured cannot be longer than what went by, but for a clock that was set.
    let function = call.function_us.min(executed);
    Some([
        received.saturating_sub(call.sent_us) + call.answered_us.saturating_sub(answered),
        claimed.saturating_sub(received),
        sent.saturating_sub(claimed),
        begun.saturating_sub(sent) + heard.saturating_sub(reported),
        executed - function,
        function,
        answered.saturating_sub(heard),
    ])
}

fn sum_up(setup: Setup, isolation: Isolation, seen: &[Seen], marks: &Marks) -> Stages {
    let mut times: [Recorder; 7] = std::array::from_fn(|_| Recorder::new());
    let mut whole = Recorder::new();
    let mut calls = 0;
    for call in seen {
        let Some(parts) = parts_of(call, marks) else { continue };
        calls += 1;
        whole.record_us(call.answered_us.saturating_sub(call.sent_us));
        for (recorder, part) in times.iter_mut().zip(parts) {
            recorder.record_us(part);
        }
    }
    let stages = NAMES.iter().zip(times);
    Stages {
        setup,
        isolation,
        calls,
        made: seen.len() as u64,
        stages: stages.map(|(name, times)| StageTime { stage: (*name).to_owned(), took: times.finish() }).collect(),
        whole: whole.finish(),
    }
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use bulkhead_eval::results::{Mode, Store};

    use super::*;

    #[test]
    fn the_stages_of_a_call_add_up_to_it() {
        let call = Seen { task: "t".to_owned(), sent_us: 1000, answered_us: 2000, function_us: 70 };
        let moments = [1010, 1100, 1150, 1180, 1230, 1400, 1460, 1800, 1950];
        let lines = Stage::ALL.iter().zip(moments).map(|(stage, at_us)| StageLine {
            task: "t".to_owned(),
            stage: stage.as_str().to_owned(),
            at_us,
        });
        let mut marks = Marks::new();
        take(&mut marks, lines.collect());
        let parts = parts_of(&call, &marks).unwrap();
        assert_eq!(parts, [10 + 50, 140, 30, 50 + 60, 170 - 70, 70, 490]);
        assert_eq!(parts.iter().sum::<u64>(), 1000);
        let setup = Setup { mode: Mode::Pull, store: Store::Redis, workers: 1 };
        let summed = sum_up(setup, Isolation::Fresh, &[call.clone(), Seen { task: "lost".to_owned(), ..call }], &marks);
        assert_eq!((summed.calls, summed.made, summed.stages.len()), (1, 2, 7));
        let mean: f64 = summed.stages.iter().map(|stage| stage.took.mean_us).sum();
        assert!((mean - summed.whole.mean_us).abs() < 1.0, "{mean}");
    }
}
