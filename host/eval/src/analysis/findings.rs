//! Findings: sentences with figures in them, each only where its figures are there.

use std::fmt::Write as _;

use crate::numbers;
use crate::results::{Isolation, Results, Scaling, Workload};
use crate::statistics::{fit_power_law, mean, weak_efficiencies};
use crate::summary;

/// Writes what stands out.
pub(super) fn write(text: &mut String, results: &Results) {
    let mut findings = Vec::new();
    findings.extend(fastest(results));
    findings.extend(alone(results));
    findings.extend(isolation_costs(results));
    findings.extend(scaling(results));
    findings.extend(overhead(results));
    findings.extend(load(results));
    findings.extend(recovery(results));
    findings.extend(failures(results));
    text.push_str("\n## Findings\n\n");
    if findings.is_empty() {
        text.push_str("Not measured.\n");
    }
    for finding in findings {
        let _ = writeln!(text, "- {finding}");
    }
}

fn fastest(results: &Results) -> Option<String> {
    let best = results.throughput.iter().filter(|it| it.workload == Workload::Noop && it.succeeded > 0);
    let best = best.max_by(|a, b| a.per_second().total_cmp(&b.per_second()))?;
    Some(format!(
        "The most no-op tasks per second were {} ({}, {}).",
        numbers::plain(best.per_second()),
        best.setup,
        best.isolation
    ))
}

fn alone(results: &Results) -> Option<String> {
    let mut rows = Vec::new();
    for kind in summary::kinds(results) {
        for isolation in summary::isolations(results) {
            if let Some(took) = summary::one_by_one(results, kind, Workload::Noop, isolation) {
                rows.push((took.p50_us, took.p99_us, format!("{}, {isolation}", kind.name())));
            }
        }
    }
    let (first, last) = (rows.iter().min()?, rows.iter().max()?);
    Some(format!(
        "A no-op call alone takes {} at the median at best ({}; p99 {}) and {} at worst ({}).",
        numbers::time_us(first.0 as f64),
        first.2,
        numbers::time_us(first.1 as f64),
        numbers::time_us(last.0 as f64),
        last.2
    ))
}

fn isolation_costs(results: &Results) -> Option<String> {
    let costs: Vec<f64> = summary::kinds(results)
        .into_iter()
        .filter_map(|kind| {
            let at = |isolation| summary::one_by_one(results, kind, Workload::Noop, isolation);
            Some(at(Isolation::Fresh)?.p50_us as f64 - at(Isolation::Reuse)?.p50_us as f64)
        })
        .collect();
    let cost = mean(&costs)?;
    let words = if cost >= 0.0 { "more" } else { "less" };
    Some(format!(
        "A process of its own costs a call {} {words} at the median than a warm one (mean over {} kinds of cluster).",
        numbers::time_us(cost.abs()),
        costs.len()
    ))
}

fn scaling(results: &Results) -> Vec<String> {
    let cores = f64::from(results.machine.cores);
    let mut findings = Vec::new();
    for workload in summary::workloads(results) {
        let mut efficiencies = Vec::new();
        let mut exponents = Vec::new();
        for kind in summary::kinds(results) {
            for isolation in summary::isolations(results) {
                let batches = summary::batches(results, kind, workload, isolation, Scaling::Weak);
                let points = summary::throughput_points(&batches);
                let within: Vec<_> = weak_efficiencies(&points);
                efficiencies.extend(within.into_iter().filter(|(workers, _)| *workers > 1.0));
                exponents.extend(fit_power_law(&points).ok().map(|law| law.exponent.value));
            }
        }
        let up_to: Vec<f64> = efficiencies.iter().filter(|(n, _)| *n <= cores).map(|(_, share)| *share).collect();
        let beyond: Vec<f64> = efficiencies.iter().filter(|(n, _)| *n > cores).map(|(_, share)| *share).collect();
        let mut sentence = format!("{workload}: weak scaling keeps");
        match (mean(&up_to), mean(&beyond)) {
            (None, None) => continue,
            (Some(up_to), None) => {
                let _ = write!(sentence, " {} of ideal up to the {cores} cores", numbers::percent(up_to));
            }
            (None, Some(beyond)) => {
                let _ = write!(sentence, " {} of ideal beyond the {cores} cores", numbers::percent(beyond));
            }
            (Some(up_to), Some(beyond)) => {
                let (up_to, beyond) = (numbers::percent(up_to), numbers::percent(beyond));
                let _ = write!(sentence, " {up_to} of ideal up to the {cores} cores and {beyond} beyond them");
            }
        }
        let _ = match mean(&exponents) {
            Some(exponent) => write!(sentence, "; the mean exponent of the fitted power laws is {exponent:.2}."),
            None => write!(sentence, "; too few numbers of workers for a fitted law."),
        };
        findings.push(sentence);
    }
    findings
}

fn overhead(results: &Results) -> Option<String> {
    let run = results.stages.iter().filter(|run| run.calls > 0).max_by(|a, b| {
        let whole = |run: &crate::results::Stages| run.whole.mean_us;
        whole(a).total_cmp(&whole(b))
    })?;
    let whole: f64 = run.stages.iter().map(|stage| stage.took.mean_us).sum();
    let largest = run.stages.iter().max_by(|a, b| a.took.mean_us.total_cmp(&b.took.mean_us))?;
    Some(format!(
        "Of the {} that a queued call takes on {} ({}), the largest stage is {} with {}.",
        numbers::time_us(whole),
        run.setup,
        run.isolation,
        largest.stage,
        numbers::percent(largest.took.mean_us / whole)
    ))
}

fn load(results: &Results) -> Option<String> {
    let busy = results.load.iter().filter(|run| run.took.count > 0);
    let worst = busy.max_by_key(|run| run.took.p99_us)?;
    Some(format!(
        "Under open-loop load the worst p99 was {}: {} ({}) at {} calls/s, {} of what it could do.",
        numbers::time_us(worst.took.p99_us as f64),
        worst.setup,
        worst.isolation,
        numbers::plain(worst.offered_per_second),
        numbers::percent(worst.share_of_capacity)
    ))
}

fn recovery(results: &Results) -> Option<String> {
    let worst = results.recovery.iter().max_by(|a, b| a.worst_call_seconds.total_cmp(&b.worst_call_seconds))?;
    let (calls, good) =
        results.recovery.iter().fold((0, 0), |(calls, good), run| (calls + run.calls, good + run.succeeded));
    Some(format!(
        "With a worker killed under load, {} of {} calls still gave their result; the slowest call around a kill took {} ({}).",
        good,
        calls,
        numbers::time_us(worst.worst_call_seconds * 1e6),
        worst.setup
    ))
}

fn failures(results: &Results) -> Option<String> {
    let (made, good) = summary::success(results);
    (made > good).then(|| format!("**{} tasks or calls gave no result.**", numbers::count(made - good)))
}
