//! Everything at a glance.

use super::axis::Axis;
use super::look::{Look, Marker, colour};
use super::page::{Entry, Page, Sample};
use super::panel::{Mark, NAMES_LEFT, Panel};
use super::{overhead, workloads};
use crate::numbers;
use crate::results::{Isolation, Results, Scaling, Workload};
use crate::statistics::{bar, mean_interval};
use crate::summary;
use plotters::style::RGBColor;

/// Parts in the order of a call; what has another name comes last.
const PARTS: [&str; 6] = ["gateway", "server", "dispatcher", "redis", "worker", "functions"];

pub(super) fn page(results: &Results) -> Page {
    let title = "Bulkhead: performance at a glance";
    let (made, good) = summary::success(results);
    let isolation = summary::isolations(results).first().copied().unwrap_or(Isolation::Fresh);
    let subtitle = format!(
        "isolation {isolation} unless said otherwise; {} of {} tasks and calls succeeded ({})",
        numbers::count(good),
        numbers::count(made),
        numbers::percent(if made == 0 { 0.0 } else { good as f64 / made as f64 })
    );
    let mut page = Page::new(title, subtitle, 3);
    let first = summary::workloads(results).first().copied().unwrap_or(Workload::Noop);
    page.panels = vec![
        throughput(results, first, isolation),
        latency(results),
        memory(results),
        workloads::panel(results, first).titled(format!("Throughput, {first}, most workers")),
        overhead::payloads(results),
        processor(results),
    ];
    for (number, kind) in summary::kinds(results).into_iter().enumerate() {
        page.legend.push(Entry::new(kind.name(), Look::of(number), Sample::LineAndMarker));
    }
    for isolation in summary::isolations(results) {
        let look = Look { colour: workloads::shade(isolation), ..Look::of(0) };
        page.legend.push(Entry::new(format!("bars: {isolation}"), look, Sample::Box));
    }
    let has = |part: &&&str| results.throughput.iter().flat_map(|batch| &batch.parts).any(|used| used.part == **part);
    for part in PARTS.iter().filter(has) {
        let look = Look { colour: tint(place(part)), ..Look::of(0) };
        page.legend.push(Entry::new(*part, look, Sample::Box));
    }
    page.legend.push(Entry::new("p50", Look { marker: Marker::Circle, ..Look::of(6) }, Sample::Marker));
    page.legend.push(Entry::new("p99", Look { marker: Marker::Triangle, ..Look::of(6) }, Sample::Marker));
    page
}

impl Panel {
    fn titled(self, title: String) -> Self {
        Self { title, ..self }
    }
}

fn throughput(results: &Results, workload: Workload, isolation: Isolation) -> Panel {
    let title = format!("Weak scaling, {workload}");
    let kinds: Vec<_> = summary::kinds(results).into_iter().enumerate().collect();
    let points =
        |kind| summary::throughput_points(&summary::batches(results, kind, workload, isolation, Scaling::Weak));
    let all: Vec<_> = kinds.iter().flat_map(|(_, kind)| points(*kind)).collect();
    if all.is_empty() {
        return Panel::empty(title, "not measured");
    }
    let workers: Vec<f64> = all.iter().map(|(workers, _)| *workers).collect();
    let x = Axis::log_at("workers", &workers, numbers::tick);
    let bounds = kinds.iter().flat_map(|(_, kind)| summary::by_place(&points(*kind)));
    let highest = bounds.filter_map(|(_, values)| bar(&values)).map(|(_, high)| high);
    let y = Axis::linear("tasks per second", all.iter().map(|(_, rate)| *rate).chain(highest));
    let mut panel = Panel::new(title, x, y);
    for (number, kind) in kinds {
        let look = Look::of(number);
        let mut means = Vec::new();
        for (workers, values) in summary::by_place(&points(kind)) {
            let Some(interval) = mean_interval(&values) else { continue };
            means.push((workers, interval.value));
            if let Some((low, high)) = bar(&values) {
                panel.marks.push(Mark::ErrorBar { x: workers, low, high, look });
            }
        }
        panel.series(means, look);
    }
    panel
}

/// p50 and p99 of no-op calls, one after the other.
fn latency(results: &Results) -> Panel {
    let title = "Latency of a call, alone (no-op)";
    let mut rows = Vec::new();
    for (number, kind) in summary::kinds(results).into_iter().enumerate() {
        for isolation in summary::isolations(results) {
            let Some(took) = summary::one_by_one(results, kind, Workload::Noop, isolation) else { continue };
            rows.push((format!("{} · {isolation}", kind.name()), number, took));
        }
    }
    if rows.is_empty() {
        return Panel::empty(title, "not measured");
    }
    let times: Vec<f64> = rows.iter().flat_map(|(_, _, took)| [took.p50_us, took.p99_us]).map(|it| it as f64).collect();
    let x = Axis::log("time of a call", times, numbers::time_tick);
    let mut panel = Panel::new(title, x, Axis::names_down(rows.iter().map(|(name, ..)| name.clone())));
    panel.left = NAMES_LEFT;
    for (row, (_, number, took)) in rows.iter().enumerate() {
        let y = -(row as f64);
        let (from, to) = (took.p50_us as f64, took.p99_us as f64);
        let look = Look { colour: colour(*number), dash: None, ..Look::of(*number) };
        panel.marks.push(Mark::Line(vec![(from, y), (to, y)], look));
        panel.marks.push(Mark::Points(vec![(from, y)], Look { marker: Marker::Circle, ..look }));
        panel.marks.push(Mark::Points(vec![(to, y)], Look { marker: Marker::Triangle, ..look }));
    }
    panel
}

/// Resident memory of each part.
fn memory(results: &Results) -> Panel {
    parts(results, "Memory of all parts, most workers", "MiB", |_, part| part.memory_bytes as f64 / 1_048_576.0)
}

/// Processor time of each part for a task.
fn processor(results: &Results) -> Panel {
    parts(results, "Processor time of all parts, per task", "microseconds", |batch, part| {
        part.cpu_seconds * 1e6 / batch.tasks.max(1) as f64
    })
}

/// Bars of the parts of each kind of cluster, one after the other.
fn parts(
    results: &Results,
    title: &str,
    unit: &str,
    value: fn(&crate::results::Throughput, &crate::results::PartUse) -> f64,
) -> Panel {
    let rows: Vec<_> = summary::kinds(results)
        .into_iter()
        .filter_map(|kind| {
            let (batch, parts) = summary::parts(results, kind)?;
            let mut values: Vec<_> = parts.iter().map(|part| (part.part.as_str(), value(batch, part))).collect();
            values.sort_by_key(|(part, _)| place(part));
            Some((kind, values))
        })
        .collect();
    if rows.is_empty() {
        return Panel::empty(title, "not measured");
    }
    let sum = |values: &[(&str, f64)]| values.iter().map(|(_, value)| value).sum::<f64>();
    let highest = rows.iter().map(|(_, values)| sum(values)).fold(0.0, f64::max);
    let names = rows.iter().map(|(kind, _)| kind.name());
    let mut panel = Panel::new(title, Axis::linear(unit, [highest * 1.25]), Axis::names_down(names));
    panel.left = NAMES_LEFT - 55;
    for (row, (_, values)) in rows.iter().enumerate() {
        let y = -(row as f64);
        let mut from = 0.0;
        for (name, value) in values {
            let fill = tint(place(name));
            panel.marks.push(Mark::Box { from: (from, y - 0.3), to: (from + value, y + 0.3), fill });
            from += value;
        }
        panel.marks.push(Mark::Text { at: (from, y), text: numbers::plain(from) });
    }
    panel
}

/// Where a part comes among the others.
fn place(part: &str) -> usize {
    PARTS.iter().position(|known| *known == part).unwrap_or(PARTS.len())
}

/// Light colours, which stand for no cluster.
fn tint(number: usize) -> RGBColor {
    let RGBColor(red, green, blue) = colour(number);
    let light = |part: u8| u8::MAX - (u8::MAX - part) / 5 * 2;
    RGBColor(light(red), light(green), light(blue))
}
