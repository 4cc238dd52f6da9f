//! The tables.

use std::fmt::Write as _;

use crate::numbers::{bytes, count, percent, plain, time_us};
use crate::results::{Distribution, Results, Scaling};
use crate::statistics::{Interval, NoFit, fit_power_law, fit_usl, mean_interval, speedups, weak_efficiencies};
use crate::summary;

const NOTHING: &str = "Not measured.\n";

/// Tasks and calls that gave a result, by kind of measurement.
pub(super) fn success(text: &mut String, results: &Results) {
    type Counts = (u64, u64);
    fn sum(counts: impl Iterator<Item = Counts>) -> Counts {
        counts.fold((0, 0), |(made, good), (more, well)| (made + more, good + well))
    }
    let rows: [(&str, Counts); 5] = [
        ("batches", sum(results.throughput.iter().map(|it| (it.tasks, it.succeeded)))),
        ("one after the other", sum(results.latency.iter().map(|it| (it.calls, it.succeeded)))),
        ("under load", sum(results.load.iter().map(|it| (it.calls, it.succeeded)))),
        ("payloads", sum(results.payload.iter().map(|it| (it.calls, it.succeeded)))),
        ("with a killed worker", sum(results.recovery.iter().map(|it| (it.calls, it.succeeded)))),
    ];
    text.push_str("| measurement | made | succeeded | |\n| --- | ---: | ---: | ---: |\n");
    for (name, (made, good)) in rows.into_iter().filter(|(_, (made, _))| *made > 0) {
        let (shown, well) = (count(made), count(good));
        let _ = writeln!(text, "| {name} | {shown} | {well} | {} |", percent(good as f64 / made as f64));
    }
}

/// A value with its interval.
fn around(interval: Interval, digits: usize) -> String {
    let value = interval.value;
    match (interval.low, interval.high) {
        (Some(low), Some(high)) => format!("{value:.digits$} ({low:.digits$} to {high:.digits$})"),
        _ => format!("{value:.digits$}"),
    }
}

fn why(reason: &NoFit) -> String {
    format!("no fit: {reason}")
}

/// Throughput by workers, efficiencies, fitted laws.
pub(super) fn scaling(text: &mut String, results: &Results) {
    if results.throughput.is_empty() {
        return text.push_str(NOTHING);
    }
    text.push_str("Weak scaling: the same work for each worker. Efficiency is against the fewest workers.\n\n");
    text.push_str(
        "| cluster | work | isolation | workers | tasks/s (95 %) | efficiency | strong speedup |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    let mut laws = String::new();
    for kind in summary::kinds(results) {
        for workload in summary::workloads(results) {
            for isolation in summary::isolations(results) {
                let weak = summary::batches(results, kind, workload, isolation, Scaling::Weak);
                let strong = summary::batches(results, kind, workload, isolation, Scaling::Strong);
                let points = summary::throughput_points(&weak);
                if points.is_empty() {
                    continue;
                }
                let (efficiencies, faster) = (weak_efficiencies(&points), speedups(&summary::seconds_points(&strong)));
                let at = |list: &[(f64, f64)], n: f64| list.iter().find(|(place, _)| *place == n).map(|(_, it)| *it);
                for (workers, values) in summary::by_place(&points) {
                    let Some(rate) = mean_interval(&values) else { continue };
                    let error = rate.relative_error().map_or(String::new(), |error| format!(" ± {}", percent(error)));
                    let efficiency = at(&efficiencies, workers).map_or("–".to_owned(), percent);
                    let speedup = at(&faster, workers).map_or("–".to_owned(), |times| format!("{times:.2}"));
                    let _ = writeln!(
                        text,
                        "| {} | {workload} | {isolation} | {workers} | {}{error} | {efficiency} | {speedup} |",
                        kind.name(),
                        plain(rate.value)
                    );
                }
                let power = match fit_power_law(&points) {
                    Ok(law) => format!("{} | {}", around(law.exponent, 3), r_squared(law.r_squared)),
                    Err(reason) => format!("{} | –", why(&reason)),
                };
                let usl = match fit_usl(&points) {
                    Ok(law) => format!(
                        "{} | {} | {} | {}",
                        around(law.sigma, 3),
                        around(law.kappa, 4),
                        r_squared(law.r_squared),
                        law.peak().map_or("none".to_owned(), |peak| format!("{peak:.1} workers"))
                    ),
                    Err(reason) => format!("{} | – | – | –", why(&reason)),
                };
                let _ = writeln!(laws, "| {} | {workload} | {isolation} | {power} | {usl} |", kind.name());
            }
        }
    }
    text.push_str(
        "\nLaws fitted to weak scaling: the power law `throughput = a · workers^b`, and Gunther's Universal Scalability Law \
         with contention σ and coherency κ.\n\n\
         | cluster | work | isolation | exponent b (95 %) | R² | σ (95 %) | κ (95 %) | R² | peak |\n\
         | --- | --- | --- | --- | ---: | --- | --- | ---: | --- |\n",
    );
    text.push_str(&laws);
}

fn r_squared(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.3}"))
}

/// Throughput at the most workers.
pub(super) fn workloads(text: &mut String, results: &Results) {
    let (kinds, isolations) = (summary::kinds(results), summary::isolations(results));
    if results.throughput.is_empty() {
        return text.push_str(NOTHING);
    }
    text.push_str("Tasks per second on the most workers.\n\n| work | isolation |");
    for kind in &kinds {
        let _ = write!(text, " {} |", kind.name());
    }
    text.push_str("\n| --- | --- |");
    text.push_str(&" ---: |".repeat(kinds.len()));
    text.push('\n');
    for workload in summary::workloads(results) {
        for isolation in &isolations {
            let _ = write!(text, "| {workload} | {isolation} |");
            for kind in &kinds {
                let most = summary::most_workers(results, *kind).unwrap_or_default();
                let batches = summary::batches(results, *kind, workload, *isolation, Scaling::Weak);
                let batches = batches.into_iter().filter(|batch| batch.setup.workers == most);
                let rates: Vec<f64> = batches.map(|batch| batch.per_second()).collect();
                let shown = mean_interval(&rates).map_or("–".to_owned(), |rate| plain(rate.value));
                let _ = write!(text, " {shown} |");
            }
            text.push('\n');
        }
    }
}

fn percentiles(took: &Distribution) -> String {
    let times = [took.p50_us, took.p90_us, took.p99_us, took.p999_us, took.max_us];
    times.map(|time| time_us(time as f64)).join(" | ")
}

const PERCENTILES: &str = "p50 | p90 | p99 | p99.9 | max";
const FIVE: &str = "---: | ---: | ---: | ---: | ---:";

/// Percentiles of calls alone.
pub(super) fn latency(text: &mut String, results: &Results) {
    if results.latency.is_empty() {
        return text.push_str(NOTHING);
    }
    let _ =
        writeln!(text, "| cluster | work | isolation | calls | {PERCENTILES} |\n| --- | --- | --- | ---: | {FIVE} |");
    for kind in summary::kinds(results) {
        for workload in crate::results::Workload::ALL {
            for isolation in summary::isolations(results) {
                let Some(took) = summary::one_by_one(results, kind, workload, isolation) else { continue };
                let (name, shown) = (kind.name(), percentiles(&took));
                let _ = writeln!(text, "| {name} | {workload} | {isolation} | {} | {shown} |", count(took.count));
            }
        }
    }
}

/// Percentiles of calls at rates.
pub(super) fn load(text: &mut String, results: &Results) {
    if results.load.is_empty() {
        return text.push_str(NOTHING);
    }
    text.push_str(
        "Calls at random moments, timed from when they were due. The share is of the calls per second that as many \
         callers as the cluster could use got through it in the same run.\n\n",
    );
    let _ = writeln!(
        text,
        "| cluster | isolation | calls/s | share | succeeded | {PERCENTILES} |\n| --- | --- | ---: | ---: | ---: | {FIVE} |"
    );
    for kind in summary::kinds(results) {
        for isolation in summary::isolations(results) {
            for run in summary::loads(results, kind, isolation) {
                let _ = writeln!(
                    text,
                    "| {} | {isolation} | {} | {} | {} | {} |",
                    run.setup,
                    plain(run.offered_per_second),
                    percent(run.share_of_capacity),
                    percent(run.succeeded as f64 / run.calls.max(1) as f64),
                    percentiles(&run.took)
                );
            }
        }
    }
}

/// Means of stages, and times by payload.
pub(super) fn overhead(text: &mut String, results: &Results) {
    let Some(first) = results.stages.iter().find(|run| run.calls > 0) else {
        text.push_str("Stages: not measured.\n\n");
        return payloads(text, results);
    };
    text.push_str(
        "Mean microseconds of a queued no-op call in each stage, one call at a time; `docs/evaluation.md` says where each \
         begins and ends. The means add up to the whole.\n\n| cluster | isolation |",
    );
    for stage in &first.stages {
        let _ = write!(text, " {} |", stage.stage);
    }
    text.push_str(" sum | whole p50 | whole p99 |\n| --- | --- |");
    text.push_str(&" ---: |".repeat(first.stages.len() + 3));
    text.push('\n');
    for run in results.stages.iter().filter(|run| run.calls > 0) {
        let _ = write!(text, "| {} | {} |", run.setup, run.isolation);
        let mut sum = 0.0;
        for stage in &run.stages {
            sum += stage.took.mean_us;
            let _ = write!(text, " {} |", plain(stage.took.mean_us));
        }
        let (p50, p99) = (run.whole.p50_us as f64, run.whole.p99_us as f64);
        let _ = writeln!(text, " {} | {} | {} |", plain(sum), plain(p50), plain(p99));
    }
    text.push('\n');
    payloads(text, results);
}

fn payloads(text: &mut String, results: &Results) {
    if results.payload.is_empty() {
        return text.push_str("Payloads: not measured.\n");
    }
    let _ =
        writeln!(text, "| cluster | isolation | payload, each way | {PERCENTILES} |\n| --- | --- | ---: | {FIVE} |");
    for run in &results.payload {
        let (size, shown) = (bytes(run.bytes as f64), percentiles(&run.took));
        let _ = writeln!(text, "| {} | {} | {size} | {shown} |", run.setup, run.isolation);
    }
}

/// What a killed worker does.
pub(super) fn recovery(text: &mut String, results: &Results) {
    if results.recovery.is_empty() {
        return text.push_str(NOTHING);
    }
    text.push_str(
        "| cluster | isolation | calls/s | calls | succeeded | longest pause | slowest call around the kill | p99 of all |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for run in &results.recovery {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            run.setup,
            run.isolation,
            plain(run.offered_per_second),
            run.calls,
            percent(run.succeeded as f64 / run.calls.max(1) as f64),
            time_us(run.longest_gap_seconds * 1e6),
            time_us(run.worst_call_seconds * 1e6),
            time_us(run.took.p99_us as f64)
        );
    }
}

/// What each part used.
pub(super) fn parts(text: &mut String, results: &Results) {
    let rows: Vec<_> = summary::kinds(results).into_iter().filter_map(|kind| summary::parts(results, kind)).collect();
    if rows.is_empty() {
        return text.push_str(NOTHING);
    }
    text.push_str(
        "During a batch on the most workers. Memory is resident, of all processes of the part; that of functions is \
         proportional (PSS).\n\n\
         | cluster | work | isolation | part | processes | processor time per task | memory |\n\
         | --- | --- | --- | --- | ---: | ---: | ---: |\n",
    );
    for (batch, parts) in rows {
        for part in parts {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                batch.setup,
                batch.workload,
                batch.isolation,
                part.part,
                part.processes,
                time_us(part.cpu_seconds * 1e6 / batch.tasks.max(1) as f64),
                bytes(part.memory_bytes as f64)
            );
        }
    }
}
