//! Two runs side by side: what changed beyond the noise of both.

use serde::Serialize;

use super::case::Case;
use super::record::Record;
use super::spread::Spread;

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It changed for the better, beyond the noise of both runs.
    Better,
    /// It changed for the worse, beyond the noise of both runs.
    Worse,
    /// The noise of one run reaches into that of the other.
    Same,
    /// The other run does not have it.
    New,
}

/// A figure in both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// The case that it belongs to.
    pub(crate) case: Case,
    /// Which of its figures.
    pub(crate) what: String,
    /// The ratio to the floor before; the figure where there is no floor.
    pub(crate) before: Option<Spread>,
    /// The same now.
    pub(crate) now: Spread,
    /// The median now divided by the median before.
    pub(crate) change: Option<f64>,
    /// What that means.
    pub(crate) verdict: Verdict,
}

/// Holds a run against an earlier one, line by line.
pub(crate) fn compare(before: &Record, now: &Record) -> Vec<Row> {
    let rows = now.lines.iter().map(|line| {
        let key = |line: &super::line::Line| {
            let has_ratio = line.summary.ratio.is_some();
            (line.subject.case, line.subject.what.clone(), line.subject.unit, has_ratio)
        };
        let earlier = before.lines.iter().find(|earlier| key(earlier) == key(line)).map(|earlier| earlier.measure());
        let now = line.measure();
        let verdict = match earlier {
            None => Verdict::New,
            Some(earlier) if !now.is_apart_from(earlier) => Verdict::Same,
            Some(earlier) if (now.median < earlier.median) == line.subject.unit.is_cost() => Verdict::Better,
            Some(_) => Verdict::Worse,
        };
        Row {
            case: line.subject.case,
            what: line.subject.what.clone(),
            before: earlier,
            now,
            change: earlier.filter(|earlier| earlier.median > 0.0).map(|earlier| now.median / earlier.median),
            verdict,
        }
    });
    rows.collect()
}

/// Why the two may differ for reasons that are not the program's.
pub(crate) fn doubts(before: &Record, now: &Record) -> Vec<String> {
    let pairs = [
        ("profile", before.profile.clone(), now.profile.clone()),
        ("processor", before.machine.cpu.clone(), now.machine.cpu.clone()),
        ("number of cores", before.machine.cores.to_string(), now.machine.cores.to_string()),
        ("kernel", before.machine.kernel.clone(), now.machine.kernel.clone()),
        ("length (quick)", before.quick.to_string(), now.quick.to_string()),
    ];
    let differ = pairs.into_iter().filter(|(_, before, now)| before != now);
    let mut doubts: Vec<String> =
        differ.map(|(what, before, now)| format!("the runs differ in {what}: {before} before, {now} now")).collect();
    if before.repeat.min(now.repeat) < MIN_REPEATS {
        doubts.push(format!("with fewer than {MIN_REPEATS} repeats the noise is not known"));
    }
    doubts
}

/// Repeats below which the least and the greatest say little.
const MIN_REPEATS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::goal::Goal;
    use crate::bench::line::{Line, Repeat, Subject};
    use crate::bench::record::FORMAT;
    use crate::bench::unit::Unit;

    fn line(case: Case, unit: Unit, floor: Option<f64>, figures: &[f64]) -> Line {
        let subject =
            Subject { case, what: "x".to_owned(), unit, floor: floor.map(|_| "y".to_owned()), goal: Goal::default() };
        let repeats = figures.iter().map(|figure| Repeat { floor, ..Repeat::alone(*figure) }).collect();
        Line::new(subject, repeats).unwrap()
    }

    fn record(lines: Vec<Line>) -> Record {
        let machine = bulkhead_eval::results::Machine {
            cpu: "some".to_owned(),
            cores: 2,
            memory_bytes: 0,
            kernel: "Linux".to_owned(),
            load_before: 0.0,
            steal_share: 0.0,
            busy_share: 0.0,
        };
        Record {
            format: FORMAT,
            bulkhead: String::new(),
            commit: None,
            profile: "release".to_owned(),
            machine,
            began_at: String::new(),
            ended_at: String::new(),
            quick: false,
            repeat: 3,
            lines,
            skipped: Vec::new(),
            notes: Vec::new(),
            partial: None,
        }
    }

    #[test]
    fn only_what_is_beyond_the_noise_of_both_is_a_change() {
        let before = record(vec![
            line(Case::P1, Unit::PerSecond, Some(100.0), &[50.0, 52.0, 54.0]),
            line(Case::P2, Unit::Microseconds, Some(100.0), &[150.0, 160.0, 170.0]),
            line(Case::P3, Unit::PerSecond, Some(100.0), &[50.0, 52.0, 54.0]),
            line(Case::P9, Unit::Bytes, None, &[30.0, 31.0, 32.0]),
        ]);
        let now = record(vec![
            line(Case::P1, Unit::PerSecond, Some(200.0), &[110.0, 112.0, 114.0]),
            line(Case::P2, Unit::Microseconds, Some(100.0), &[171.0, 180.0, 190.0]),
            // The middle is far away, but one repeat was as before.
            line(Case::P3, Unit::PerSecond, Some(100.0), &[54.0, 90.0, 91.0]),
            line(Case::P9, Unit::Bytes, None, &[20.0, 21.0, 22.0]),
            line(Case::P11, Unit::PerSecond, None, &[1.0]),
        ]);
        let rows = compare(&before, &now);
        let verdicts: Vec<_> = rows.iter().map(|row| row.verdict).collect();
        assert_eq!(verdicts, [Verdict::Better, Verdict::Worse, Verdict::Same, Verdict::Better, Verdict::New]);
        // 0.56 of the floor now, 0.52 before: a ratio of ratios, whatever the floors were.
        assert!((rows[0].change.unwrap() - 0.56 / 0.52).abs() < 1e-9);
        assert_eq!(rows[4].before, None);
        assert!(compare(&now, &now).iter().all(|row| row.verdict == Verdict::Same && row.change == Some(1.0)));
    }

    #[test]
    fn a_figure_is_not_held_against_a_ratio() {
        let with = record(vec![line(Case::P6, Unit::PerSecond, Some(100.0), &[50.0])]);
        let without = record(vec![line(Case::P6, Unit::PerSecond, None, &[50.0])]);
        assert_eq!(compare(&with, &without)[0].verdict, Verdict::New);
    }

    #[test]
    fn runs_of_different_kinds_are_doubted() {
        let one = record(Vec::new());
        assert!(doubts(&one, &one).is_empty());
        let other = Record { profile: "debug".to_owned(), repeat: 2, ..one.clone() };
        let doubts = doubts(&one, &other);
        assert!(doubts[0].contains("profile: release before, debug now") && doubts[1].contains("noise"), "{doubts:?}");
    }
}
