//! How long calls take, one after the other: boxes by percentiles, and the whole distribution.

use super::axis::Axis;
use super::look::{INK, Look, Marker, colour};
use super::page::{Entry, Page, Sample};
use super::panel::{Mark, NAMES_LEFT, Panel};
use crate::numbers;
use crate::results::{Distribution, Isolation, Results, Workload};
use crate::summary;

pub(super) fn page(results: &Results) -> Page {
    let title = "Latency of synchronous calls, one after the other";
    let subtitle = "invoke of the no-op function as its client sees it; logarithmic time";
    let mut page = Page::new(title, subtitle, 2);
    let series = series(results);
    if series.is_empty() {
        page.panels.push(Panel::empty("Percentiles", "not measured"));
        return page;
    }
    page.panels.push(boxes(&series));
    page.panels.push(cumulative(&series));
    for one in &series {
        page.legend.push(Entry::new(one.name.clone(), one.look, Sample::Line));
    }
    let marker = |marker| Look { colour: INK, marker, ..Look::reference() };
    page.legend.push(Entry::new("p99.9", marker(Marker::Diamond), Sample::Marker));
    page.legend.push(Entry::new("slowest", marker(Marker::Cross), Sample::Marker));
    page
}

struct Series {
    name: String,
    look: Look,
    took: Distribution,
}

fn series(results: &Results) -> Vec<Series> {
    let mut all = Vec::new();
    for (number, kind) in summary::kinds(results).into_iter().enumerate() {
        for isolation in summary::isolations(results) {
            let Some(took) = summary::one_by_one(results, kind, Workload::Noop, isolation) else { continue };
            // The colour says which cluster, the dash which isolation.
            let dash = (isolation == Isolation::Reuse).then_some((7, 5));
            let look = Look { colour: colour(number), ..Look::of(number) }.dashed(dash);
            all.push(Series { name: format!("{} · {isolation}", kind.name()), look, took });
        }
    }
    all
}

fn boxes(series: &[Series]) -> Panel {
    let times = series.iter().flat_map(|one| [one.took.min_us, one.took.max_us]).map(|time| time as f64);
    let x = Axis::log("time of a call", times.collect::<Vec<_>>(), numbers::time_tick);
    let y = Axis::names_down(series.iter().map(|one| one.name.clone()));
    let mut panel = Panel::new("Whiskers p1 and p99, box p25 to p75, bar p50", x, y);
    panel.left = NAMES_LEFT;
    for (row, one) in series.iter().enumerate() {
        let y = -(row as f64);
        let at = |share: f64| one.took.quantile_us(share).unwrap_or_default() as f64;
        let ink = Look { colour: INK, ..one.look };
        panel.marks.push(Mark::ErrorBarAcross { y, low: at(0.01), high: at(0.99), look: ink });
        panel.marks.push(Mark::Box { from: (at(0.25), y - 0.28), to: (at(0.75), y + 0.28), fill: one.look.colour });
        let middle = Look { width: 4, dash: None, ..ink };
        panel.marks.push(Mark::Line(vec![(at(0.5), y - 0.28), (at(0.5), y + 0.28)], middle));
        panel.marks.push(Mark::Points(vec![(at(0.999), y)], Look { marker: Marker::Diamond, ..ink }));
        panel.marks.push(Mark::Points(vec![(one.took.max_us as f64, y)], Look { marker: Marker::Cross, ..ink }));
    }
    panel
}

fn cumulative(series: &[Series]) -> Panel {
    let times = series.iter().flat_map(|one| [one.took.min_us, one.took.max_us]).map(|time| time as f64);
    let x = Axis::log("time of a call", times.collect::<Vec<_>>(), numbers::time_tick);
    let mut panel = Panel::new("Share of calls that took no longer", x, Axis::between("share of calls", 0.0, 1.02));
    for one in series {
        // As stairs: the share jumps at each time that was measured.
        let mut line = Vec::new();
        let mut before = 0.0;
        for (time, share) in one.took.cumulative() {
            line.extend([(time, before), (time, share)]);
            before = share;
        }
        panel.marks.push(Mark::Line(line, one.look));
    }
    panel
}
