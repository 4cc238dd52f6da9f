//! How throughput grows with workers: a column for each kind of work; rows: weak scaling with the laws that
//! fit it, its efficiency, and the speedup of strong scaling.

use super::axis::Axis;
use super::look::Look;
use super::page::{Entry, Page, Sample};
use super::panel::{Mark, Panel};
use crate::numbers;
use crate::results::{Isolation, Results, Scaling, Workload};
use crate::statistics::{bar, fit_power_law, fit_usl, mean_interval, speedups, weak_efficiencies};
use crate::summary::{self, Kind};

pub(super) fn page(results: &Results) -> Page {
    let workloads = summary::workloads(results);
    // The default of functions, where it was measured.
    let isolation = summary::isolations(results).first().copied().unwrap_or(Isolation::Fresh);
    let kinds: Vec<_> = summary::kinds(results).into_iter().enumerate().collect();
    let title = "Scaling with the number of workers";
    let subtitle = format!(
        "isolation {isolation}, workers of one slot, {} cores; means with 95 % intervals, of fewer than 3 repetitions with their range; repetitions: {}",
        results.machine.cores, results.settings.repeat
    );
    let mut page = Page::new(title, subtitle, workloads.len().max(1));
    let series = Series { results, isolation, kinds };
    page.panels.extend(workloads.iter().map(|workload| series.weak(*workload)));
    page.panels.extend(workloads.iter().map(|workload| series.efficiency(*workload)));
    page.panels.extend(workloads.iter().map(|workload| series.speedup(*workload)));
    if page.panels.is_empty() {
        page.panels.push(Panel::empty("Weak scaling", "not measured"));
    }
    for (number, kind) in &series.kinds {
        page.legend.push(Entry::new(kind.name(), Look::of(*number), Sample::LineAndMarker));
    }
    let fitted = Look { dash: None, ..Look::reference() };
    page.legend.push(Entry::new("power law (where fitted)", fitted, Sample::Line));
    page.legend.push(Entry::new("USL (where fitted)", fitted.dashed(Some((3, 4))), Sample::Line));
    page.legend.push(Entry::new("ideal", Look::reference(), Sample::Line));
    page
}

struct Series<'a> {
    results: &'a Results,
    isolation: Isolation,
    kinds: Vec<(usize, Kind)>,
}

impl Series<'_> {
    fn points(&self, kind: Kind, workload: Workload, scaling: Scaling) -> Vec<(f64, f64)> {
        let batches = summary::batches(self.results, kind, workload, self.isolation, scaling);
        match scaling {
            Scaling::Weak => summary::throughput_points(&batches),
            Scaling::Strong => summary::seconds_points(&batches),
        }
    }

    fn workers_axis(&self) -> Axis {
        let workers: Vec<f64> = self.results.throughput.iter().map(|it| f64::from(it.setup.workers)).collect();
        Axis::log_at("workers", &workers, numbers::tick)
    }

    fn weak(&self, workload: Workload) -> Panel {
        let title = format!("{workload}: weak scaling");
        let all: Vec<f64> = self
            .kinds
            .iter()
            .flat_map(|(_, kind)| self.points(*kind, workload, Scaling::Weak))
            .map(|(_, throughput)| throughput)
            .collect();
        if all.is_empty() {
            return Panel::empty(title, "not measured");
        }
        let bounds = self.kinds.iter().flat_map(|(_, kind)| {
            let places = summary::by_place(&self.points(*kind, workload, Scaling::Weak));
            places.into_iter().filter_map(|(_, values)| bar(&values)).flat_map(|(low, high)| [low, high])
        });
        let y = Axis::log("tasks per second", all.into_iter().chain(bounds).collect::<Vec<_>>(), numbers::tick);
        let mut panel = Panel::new(title, self.workers_axis(), y);
        for (number, kind) in &self.kinds {
            let look = Look::of(*number);
            let points = self.points(*kind, workload, Scaling::Weak);
            let mut means = Vec::new();
            for (workers, values) in summary::by_place(&points) {
                let Some(interval) = mean_interval(&values) else { continue };
                means.push((workers, interval.value));
                if let Some((low, high)) = bar(&values) {
                    panel.marks.push(Mark::ErrorBar { x: workers, low, high, look });
                }
            }
            let (Some((first, _)), Some((last, _))) = (means.first().copied(), means.last().copied()) else { continue };
            let steps = || (0..=40).map(|step| first * (last / first).powf(f64::from(step) / 40.0));
            let mut is_fitted = false;
            if let Ok(law) = fit_power_law(&points) {
                let line = steps().map(|workers| (workers, law.at(workers))).collect();
                panel.marks.push(Mark::Line(line, look.thin().dashed(None)));
                is_fitted = true;
            }
            if let Ok(law) = fit_usl(&points) {
                let line = steps().map(|workers| (workers, law.at(workers))).collect();
                panel.marks.push(Mark::Line(line, look.thin().dashed(Some((3, 4)))));
            }
            if is_fitted {
                panel.marks.push(Mark::Points(means, look));
            } else {
                panel.series(means, look);
            }
        }
        panel
    }

    fn efficiency(&self, workload: Workload) -> Panel {
        let title = format!("{workload}: efficiency of weak scaling");
        let series: Vec<_> = self
            .kinds
            .iter()
            .map(|(number, kind)| (*number, weak_efficiencies(&self.points(*kind, workload, Scaling::Weak))))
            .collect();
        let values = series.iter().flat_map(|(_, points)| points).map(|(_, value)| *value).chain([1.0]);
        let mut panel = Panel::new(title, self.workers_axis(), Axis::linear("share of ideal", values));
        let (from, to) = (panel.x.low(), panel.x.high());
        panel.marks.push(Mark::Line(vec![(from, 1.0), (to, 1.0)], Look::reference()));
        for (number, points) in series {
            panel.series(points, Look::of(number));
        }
        panel
    }

    fn speedup(&self, workload: Workload) -> Panel {
        let title = format!("{workload}: speedup of strong scaling");
        let series: Vec<_> = self
            .kinds
            .iter()
            .map(|(number, kind)| (*number, speedups(&self.points(*kind, workload, Scaling::Strong))))
            .collect();
        let values = series.iter().flat_map(|(_, points)| points).map(|(_, value)| *value).chain([1.0]);
        let y = Axis::log("times as fast", values.collect::<Vec<_>>(), numbers::tick);
        let mut panel = Panel::new(title, self.workers_axis(), y);
        let (low, high) = (panel.x.low().max(panel.y.low()), panel.x.high().min(panel.y.high()));
        panel.marks.push(Mark::Line(vec![(low, low), (high, high)], Look::reference()));
        for (number, points) in series {
            panel.series(points, Look::of(number));
        }
        panel
    }
}
