//! What a killed worker does to a steady load: answers over time.

use super::axis::Axis;
use super::look::{INK, Look, colour};
use super::page::{Entry, Page, Sample};
use super::panel::{Mark, Panel};
use crate::numbers;
use crate::results::{Recovery, Results};

/// Runs that are drawn: as many as there are kinds of clusters with workers of their own.
const MAX_PANELS: usize = 4;

pub(super) fn page(results: &Results) -> Page {
    let title = "A worker is killed under a steady load";
    let subtitle = "answers per second; one of the workers gets SIGKILL and another is started in its place";
    let runs: Vec<_> = results.recovery.iter().take(MAX_PANELS).collect();
    let mut page = Page::new(title, subtitle, 1);
    if runs.is_empty() {
        let why = "not measured: takes pull or push mode, and at least two workers of the evaluation's own cluster";
        page.panels.push(Panel::empty("Answers per second", why));
        return page;
    }
    page.panels.extend(runs.into_iter().map(panel));
    page.legend.push(Entry::new("calls due per second", Look::reference(), Sample::Line));
    page.legend.push(Entry::new("answers per second", answers(), Sample::Line));
    page.legend.push(Entry::new("worker killed", killed(), Sample::Line));
    page.legend.push(Entry::new("another started", started(), Sample::Line));
    page
}

fn answers() -> Look {
    Look { colour: colour(0), ..Look::of(0) }
}

fn killed() -> Look {
    Look { colour: colour(4), width: 3, ..Look::of(0) }
}

fn started() -> Look {
    Look { colour: INK, width: 2, dash: Some((3, 4)), ..Look::of(0) }
}

fn panel(run: &Recovery) -> Panel {
    let rates: Vec<f64> = run.completed.iter().map(|count| *count as f64 / run.bin_seconds).collect();
    let end = run.completed.len() as f64 * run.bin_seconds;
    let highest = rates.iter().copied().chain([run.offered_per_second]);
    let top = highest.fold(0.0, f64::max);
    let x = Axis::between("seconds", 0.0, end.max(1.0));
    let title = format!(
        "{} · {}: {} of {} calls succeeded; longest pause {}, slowest call around the kill {}",
        run.setup,
        run.isolation,
        numbers::count(run.succeeded),
        numbers::count(run.calls),
        numbers::time_us(run.longest_gap_seconds * 1e6),
        numbers::time_us(run.worst_call_seconds * 1e6),
    );
    let mut panel = Panel::new(title, x, Axis::linear("per second", [top]));
    let high = panel.y.high();
    panel.marks.push(Mark::Line(vec![(0.0, run.offered_per_second), (end, run.offered_per_second)], Look::reference()));
    let mut stairs = Vec::new();
    for (bin, rate) in rates.iter().enumerate() {
        stairs.extend([(bin as f64 * run.bin_seconds, *rate), ((bin + 1) as f64 * run.bin_seconds, *rate)]);
    }
    panel.marks.push(Mark::Line(stairs, answers()));
    let upright = |at: f64| vec![(at, 0.0), (at, high)];
    panel.marks.push(Mark::Line(upright(run.killed_after_seconds), killed()));
    panel.marks.push(Mark::Line(upright(run.replaced_after_seconds), started()));
    panel
}
