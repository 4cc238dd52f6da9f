//! How long calls take when they come at random moments at a given rate: rows are percentiles, columns
//! isolations.

use super::axis::Axis;
use super::look::Look;
use super::page::{Entry, Page, Sample};
use super::panel::Panel;
use crate::numbers;
use crate::results::{Distribution, Results};
use crate::summary;

/// A time of a distribution.
type Percentile = fn(&Distribution) -> u64;

/// What the rows show.
const ROWS: [(&str, Percentile); 2] = [("p50", |took| took.p50_us), ("p99", |took| took.p99_us)];

pub(super) fn page(results: &Results) -> Page {
    let title = "Latency under open-loop load";
    let subtitle = "Poisson arrivals of the no-op function; a call is timed from the moment it was due, so that one that \
                    waits behind others counts its wait";
    let mut isolations: Vec<_> = results.load.iter().map(|load| load.isolation).collect();
    isolations.sort();
    isolations.dedup();
    let mut page = Page::new(title, subtitle, isolations.len().max(1));
    if isolations.is_empty() {
        page.panels.push(Panel::empty("Latency under load", "not measured"));
        return page;
    }
    let kinds: Vec<_> = summary::kinds(results).into_iter().enumerate().collect();
    for (name, percentile) in ROWS {
        for isolation in &isolations {
            let series: Vec<_> = kinds
                .iter()
                .map(|(number, kind)| {
                    let loads = summary::loads(results, *kind, *isolation).into_iter();
                    let loads = loads.filter(|load| load.took.count > 0);
                    let points = loads.map(|load| (load.offered_per_second, percentile(&load.took) as f64));
                    (*number, points.collect::<Vec<_>>())
                })
                .collect();
            let all = || series.iter().flat_map(|(_, points)| points.iter().copied());
            let x = Axis::log("calls offered per second", all().map(|(x, _)| x).collect::<Vec<_>>(), numbers::tick);
            let y = Axis::log("time of a call", all().map(|(_, y)| y).collect::<Vec<_>>(), numbers::time_tick);
            let mut panel = Panel::new(format!("{isolation}: {name}"), x, y);
            for (number, points) in series {
                panel.series(points, Look::of(number));
            }
            page.panels.push(panel);
        }
    }
    for (number, kind) in kinds {
        if results.load.iter().any(|load| summary::Kind::from(load.setup) == kind) {
            page.legend.push(Entry::new(kind.name(), Look::of(number), Sample::LineAndMarker));
        }
    }
    page
}
