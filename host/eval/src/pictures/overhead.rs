//! Where the time of a call goes, and what payloads cost.

use super::axis::Axis;
use super::look::{Look, colour};
use super::page::{Entry, Page, Sample};
use super::panel::{Mark, NAMES_LEFT, Panel};
use crate::numbers;
use crate::results::{Results, Stages};
use crate::summary;

pub(super) fn page(results: &Results) -> Page {
    let title = "Overhead of a call";
    let subtitle = "left: mean time of queued no-op calls in each stage, one call at a time; right: echo of a payload, \
                    p50 with p10 to p90";
    let mut page = Page::new(title, subtitle, 2);
    page.panels.push(stages(results));
    page.panels.push(payloads(results));
    let names = results.stages.first().map(|run| &run.stages[..]).unwrap_or_default();
    for (number, stage) in names.iter().enumerate() {
        let look = Look { colour: colour(number), ..Look::of(0) };
        page.legend.push(Entry::new(stage.stage.clone(), look, Sample::Box));
    }
    for (number, kind) in summary::kinds(results).into_iter().enumerate() {
        if results.payload.iter().any(|run| summary::Kind::from(run.setup) == kind) {
            page.legend.push(Entry::new(kind.name(), Look::of(number), Sample::LineAndMarker));
        }
    }
    page
}

/// Bars of stages, one after the other.
pub(super) fn stages(results: &Results) -> Panel {
    let runs: Vec<&Stages> = results.stages.iter().filter(|run| run.calls > 0).collect();
    let title = "Where the time goes";
    if runs.is_empty() {
        return Panel::empty(title, "not measured");
    }
    let total = |run: &Stages| run.stages.iter().map(|stage| stage.took.mean_us).sum::<f64>();
    let highest = runs.iter().map(|run| total(run)).fold(0.0, f64::max);
    let x = Axis::linear("microseconds", [highest * 1.2]);
    let names = runs.iter().map(|run| format!("{} · {}", run.setup.kind(), run.isolation));
    let mut panel = Panel::new(title, x, Axis::names_down(names));
    panel.left = NAMES_LEFT;
    for (row, run) in runs.iter().enumerate() {
        let y = -(row as f64);
        let mut from = 0.0;
        for (number, stage) in run.stages.iter().enumerate() {
            let to = from + stage.took.mean_us;
            panel.marks.push(Mark::Box { from: (from, y - 0.32), to: (to, y + 0.32), fill: colour(number) });
            from = to;
        }
        panel.marks.push(Mark::Text { at: (from, y), text: numbers::time_us(from) });
    }
    panel
}

/// Times by size.
pub(super) fn payloads(results: &Results) -> Panel {
    let title = "What a payload costs";
    if results.payload.iter().all(|run| run.took.count == 0) {
        return Panel::empty(title, "not measured");
    }
    let mut sizes: Vec<u64> = results.payload.iter().map(|run| run.bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    // Sizes are categories: zero has no logarithm.
    let place = |bytes: u64| sizes.iter().position(|size| *size == bytes).unwrap_or_default() as f64;
    let x = Axis::names("payload, each way", sizes.iter().map(|size| numbers::bytes(*size as f64)));
    let bounds = results.payload.iter().filter_map(|run| Some([run.took.quantile_us(0.1)?, run.took.p90_us]));
    let times: Vec<f64> = bounds.flatten().map(|time| time as f64).collect();
    let mut panel = Panel::new(title, x, Axis::log("time of a call", times, numbers::time_tick));
    let kinds = summary::kinds(results);
    let count = kinds.len() as f64;
    for (number, kind) in kinds.into_iter().enumerate() {
        let look = Look::of(number);
        // A little beside each other, so that no bar covers another.
        let aside = (number as f64 - (count - 1.0) / 2.0) * 0.07;
        let mut points = Vec::new();
        for size in &sizes {
            let of_size =
                results.payload.iter().filter(|run| summary::Kind::from(run.setup) == kind && run.bytes == *size);
            let taken = crate::results::Distribution::merged(of_size.map(|run| &run.took));
            let Some(low) = taken.quantile_us(0.1) else { continue };
            let x = place(*size) + aside;
            points.push((x, taken.p50_us as f64));
            panel.marks.push(Mark::ErrorBar { x, low: low as f64, high: taken.p90_us as f64, look });
        }
        panel.series(points, look);
    }
    panel
}
