//! Two evaluations side by side: how many times more the second has.

use super::axis::Axis;
use super::look::{Look, Marker, colour};
use super::page::{Entry, Page, Sample};
use super::panel::{Mark, Panel};
use crate::comparison::{Comparison, Verdict};
use crate::numbers;

/// Rows of a panel; more are not readable.
const MAX_ROWS: usize = 26;

pub(super) fn page(comparison: &Comparison) -> Page {
    let title = "Two evaluations side by side";
    let subtitle = format!(
        "{} against {}: the ratio of each figure with its 95 % interval; right of 1 is more",
        comparison.after, comparison.before
    );
    let mut page = Page::new(title, subtitle, 2);
    page.panels.push(panel(comparison, true));
    page.panels.push(panel(comparison, false));
    for verdict in [Verdict::Better, Verdict::Same, Verdict::Worse, Verdict::Unknown] {
        page.legend.push(Entry::new(verdict.as_str(), look(verdict), Sample::Marker));
    }
    page.legend.push(Entry::new("no difference", Look::reference(), Sample::Line));
    page
}

fn look(verdict: Verdict) -> Look {
    let (number, marker) = match verdict {
        Verdict::Better => (2, Marker::Triangle),
        Verdict::Worse => (4, Marker::Cross),
        Verdict::Same => (6, Marker::Circle),
        Verdict::Unknown => (6, Marker::Ring),
    };
    Look { colour: colour(number), marker, dash: None, width: 2 }
}

fn panel(comparison: &Comparison, is_throughput: bool) -> Panel {
    let title = if is_throughput { "Throughput (more is better)" } else { "Latency (less is better)" };
    let rows: Vec<_> = comparison.rows.iter().filter(|row| row.is_throughput == is_throughput).take(MAX_ROWS).collect();
    if rows.is_empty() {
        return Panel::empty(title, "nothing was measured in both");
    }
    let bounds = rows.iter().flat_map(|row| [Some(row.ratio.value), row.ratio.low, row.ratio.high]);
    let values: Vec<f64> = bounds.flatten().chain([1.0]).filter(|it| (0.01..100.0).contains(it)).collect();
    let x = Axis::log("ratio", values, |value| format!("× {}", numbers::tick(value)));
    let mut panel = Panel::new(title, x, Axis::names_down(rows.iter().map(|row| row.name.clone())));
    panel.left = 330;
    let (from, to) = (panel.y.low(), panel.y.high());
    panel.marks.push(Mark::Line(vec![(1.0, from), (1.0, to)], Look::reference()));
    for (number, row) in rows.iter().enumerate() {
        let (y, look) = (-(number as f64), look(row.verdict()));
        if let (Some(low), Some(high)) = (row.ratio.low, row.ratio.high) {
            panel.marks.push(Mark::ErrorBarAcross {
                y,
                low: low.max(panel.x.low()),
                high: high.min(panel.x.high()),
                look,
            });
        }
        panel.marks.push(Mark::Points(vec![(row.ratio.value, y)], look));
    }
    panel
}
