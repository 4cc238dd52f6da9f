//! Two evaluations side by side: what both measured, with the ratio and its noise.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::numbers;
use crate::results::{Results, Scaling};
use crate::statistics::{Interval, mean, ratio_interval};

/// A figure that both evaluations have.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured on what.
    pub name: String,
    /// Whether it is tasks per second, of which more is better; else microseconds, of which less is.
    pub is_throughput: bool,
    /// The mean before.
    pub before: f64,
    /// The mean after.
    pub after: f64,
    /// How many times more it is after.
    pub ratio: Interval,
}

/// What a ratio says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Better, beyond the noise.
    Better,
    /// Worse, beyond the noise.
    Worse,
    /// The interval holds 1.
    Same,
    /// Too few repetitions say nothing about the noise.
    Unknown,
}

impl Verdict {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "within the noise",
            Self::Unknown => "noise unknown",
        }
    }
}

impl Row {
    /// What its ratio says.
    pub fn verdict(&self) -> Verdict {
        let (Some(low), Some(high)) = (self.ratio.low, self.ratio.high) else { return Verdict::Unknown };
        match (low > 1.0, high < 1.0) {
            (true, _) if self.is_throughput => Verdict::Better,
            (_, true) if !self.is_throughput => Verdict::Better,
            (false, false) => Verdict::Same,
            _ => Verdict::Worse,
        }
    }
}

/// Two evaluations side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The name of the first.
    pub before: String,
    /// The name of the second.
    pub after: String,
    /// What both have.
    pub rows: Vec<Row>,
    /// Why the figures may not be held against each other.
    pub warnings: Vec<String>,
}

impl Comparison {
    /// Compares the second evaluation with the first.
    pub fn new(before: (&str, &Results), after: (&str, &Results)) -> Self {
        let (old, new) = (figures(before.1), figures(after.1));
        let rows = old.into_iter().filter_map(|((is_latency, name), old)| {
            let new = new.get(&(is_latency, name.clone()))?;
            let ratio = ratio_interval(&old, new)?;
            Some(Row { name, is_throughput: !is_latency, before: mean(&old)?, after: mean(new)?, ratio })
        });
        Self {
            before: before.0.to_owned(),
            after: after.0.to_owned(),
            rows: rows.collect(),
            warnings: warnings(before, after),
        }
    }

    /// As a table in Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("# {} against {}\n\n", self.after, self.before);
        for warning in &self.warnings {
            let _ = writeln!(text, "- **{warning}**");
        }
        if !self.warnings.is_empty() {
            text.push('\n');
        }
        if self.rows.is_empty() {
            text.push_str("Nothing was measured in both.\n");
            return text;
        }
        text.push_str(
            "| what | before | after | ratio | 95 % interval | |\n| --- | ---: | ---: | ---: | --- | --- |\n",
        );
        for row in &self.rows {
            let show = |value: f64| match row.is_throughput {
                true => format!("{}/s", numbers::plain(value)),
                false => numbers::time_us(value),
            };
            let interval = match (row.ratio.low, row.ratio.high) {
                (Some(low), Some(high)) => format!("{low:.2} – {high:.2}"),
                _ => "–".to_owned(),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.2} | {interval} | {} |",
                row.name,
                show(row.before),
                show(row.after),
                row.ratio.value,
                row.verdict().as_str()
            );
        }
        text
    }
}

/// Repeated figures by whether they are times, and by name.
fn figures(results: &Results) -> BTreeMap<(bool, String), Vec<f64>> {
    let mut figures: BTreeMap<(bool, String), Vec<f64>> = BTreeMap::new();
    for batch in results.throughput.iter().filter(|batch| batch.succeeded > 0) {
        if batch.scaling.contains(&Scaling::Weak) {
            let name = format!("{}, {}, {}", batch.setup, batch.workload, batch.isolation);
            figures.entry((false, name)).or_default().push(batch.per_second());
        }
    }
    for run in results.latency.iter().filter(|run| run.took.count > 0) {
        let name = |percentile: &str| format!("{}, {}, {}: {percentile}", run.setup, run.workload, run.isolation);
        figures.entry((true, name("p50"))).or_default().push(run.took.p50_us as f64);
        figures.entry((true, name("p99"))).or_default().push(run.took.p99_us as f64);
    }
    figures
}

fn warnings(before: (&str, &Results), after: (&str, &Results)) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, results) in [before, after] {
        if let Some(why) = &results.partial {
            warnings.push(format!("{name} is partial: {why}"));
        }
        if results.build != "release" {
            warnings.push(format!("{name} was measured with a {} build", results.build));
        }
    }
    let (old, new) = (&before.1.machine, &after.1.machine);
    if (&old.cpu, old.cores, &old.kernel) != (&new.cpu, new.cores, &new.kernel) {
        warnings.push(format!(
            "other machines: {}, {} cores, {} and {}, {} cores, {}",
            old.cpu, old.cores, old.kernel, new.cpu, new.cores, new.kernel
        ));
    }
    if before.1.settings.tasks_per_worker != after.1.settings.tasks_per_worker
        || before.1.settings.quick != after.1.settings.quick
    {
        warnings.push("batches had different numbers of tasks".to_owned());
    }
    warnings
}
