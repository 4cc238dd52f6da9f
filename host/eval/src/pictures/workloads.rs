//! What kinds of work do to throughput: a panel for each, bars for clusters and isolations.

use plotters::style::RGBColor;

use super::axis::Axis;
use super::look::{INK, Look, colour};
use super::page::{Entry, Page, Sample};
use super::panel::{Mark, NAMES_LEFT, Panel};
use crate::numbers;
use crate::results::{Isolation, Results, Scaling, Workload};
use crate::statistics::{bar, mean};
use crate::summary::{self, Kind};

/// Half the height of a bar, in rows.
const HALF: f64 = 0.19;

pub(super) fn page(results: &Results) -> Page {
    let most = results.settings.workers.last().copied().unwrap_or_default();
    let title = "Throughput by kind of work";
    let subtitle = format!(
        "batches on the most workers ({most}), from the first submission to the last end; means with 95 % intervals, of fewer than 3 repetitions with \
         their range; repetitions: {}",
        results.settings.repeat
    );
    let workloads = summary::workloads(results);
    let mut page = Page::new(title, subtitle, workloads.len().max(1));
    page.panels.extend(workloads.into_iter().map(|workload| panel(results, workload)));
    if page.panels.is_empty() {
        page.panels.push(Panel::empty("Throughput", "not measured"));
    }
    for isolation in summary::isolations(results) {
        let look = Look { colour: shade(isolation), ..Look::of(0) };
        let text = match isolation {
            Isolation::Fresh => "fresh: a process for each call",
            Isolation::Reuse => "reuse: a warm process for many calls",
        };
        page.legend.push(Entry::new(text, look, Sample::Box));
    }
    page
}

/// Colours that stand for no cluster.
pub(super) fn shade(isolation: Isolation) -> RGBColor {
    match isolation {
        Isolation::Fresh => RGBColor(140, 140, 140),
        Isolation::Reuse => colour(7),
    }
}

/// Tasks per second of each repetition at the most workers.
fn at_most_workers(results: &Results, kind: Kind, workload: Workload, isolation: Isolation) -> Vec<f64> {
    let most = summary::most_workers(results, kind).unwrap_or_default();
    let batches = summary::batches(results, kind, workload, isolation, Scaling::Weak);
    let batches = batches.into_iter().filter(|batch| batch.setup.workers == most);
    batches.map(|batch| batch.per_second()).collect()
}

/// Bars of one kind of work.
pub(super) fn panel(results: &Results, workload: Workload) -> Panel {
    let kinds = summary::kinds(results);
    let isolations = summary::isolations(results);
    let mut bars = Vec::new();
    for (row, kind) in kinds.iter().enumerate() {
        for (place, isolation) in isolations.iter().enumerate() {
            let rates = at_most_workers(results, *kind, workload, *isolation);
            let Some(rate) = mean(&rates) else { continue };
            let middle = if isolations.len() > 1 { HALF - 2.0 * HALF * place as f64 } else { 0.0 };
            bars.push((-(row as f64) + middle, *isolation, rate, bar(&rates)));
        }
    }
    let end = |rate: f64, bar: Option<(f64, f64)>| bar.map_or(rate, |(_, high)| high.max(rate));
    let highest = bars.iter().map(|(_, _, rate, bar)| end(*rate, *bar)).fold(0.0, f64::max);
    // Room for the number beside the bar.
    let x = Axis::linear("tasks per second", [highest * 1.3]);
    let mut panel = Panel::new(workload.as_str(), x, Axis::names_down(kinds.iter().map(|kind| kind.name())));
    panel.left = NAMES_LEFT - 55;
    for (y, isolation, rate, bar) in bars {
        panel.marks.push(Mark::Box { from: (0.0, y - HALF), to: (rate, y + HALF), fill: shade(isolation) });
        if let Some((low, high)) = bar {
            let look = Look { colour: INK, ..Look::of(0) };
            panel.marks.push(Mark::ErrorBarAcross { y, low, high, look });
        }
        panel.marks.push(Mark::Text { at: (end(rate, bar), y), text: numbers::plain(rate) });
    }
    panel
}
