//! What is shown.

use serde::Serialize;

use crate::bench::case::Case;
use crate::bench::comparison::{self, Row, Verdict};
use crate::bench::line::Line;
use crate::bench::record::Record;
use crate::bench::spread::Spread;
use crate::bench::unit::Unit;
use crate::cli::output::{Output, Table, Tone, plain};

/// In the place of what is not there.
const NOTHING: &str = "–";

/// The cases and their goals.
pub(super) fn list(output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        let cases: Vec<_> = Case::ALL
            .into_iter()
            .map(|case| serde_json::json!({ "case": case, "what": case.about().0, "goal": case.about().1 }))
            .collect();
        return output.value(&cases);
    }
    let mut table = Table::new(&["CASE", "GOAL", "WHAT"]);
    for case in Case::ALL {
        let (what, goal) = case.about();
        table.row([plain(case.to_string().to_lowercase()), plain(goal), plain(what)]);
    }
    output.table(&table)
}

/// A run for programs: the record, and what it is compared with.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    record: &'a Record,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Vec<Row>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    doubts: Vec<String>,
}

/// What came out, and how it compares with an earlier run.
pub(super) fn record(record: &Record, before: Option<&Record>, output: &Output) -> anyhow::Result<()> {
    let comparison = before.map(|before| comparison::compare(before, record));
    let doubts = before.map(|before| comparison::doubts(before, record)).unwrap_or_default();
    if output.is_json() {
        return output.value(&Shown { record, comparison, doubts });
    }
    output.table(&lines(&record.lines))?;
    for skipped in &record.skipped {
        output.note(format!("{} skipped: {}", skipped.case, skipped.why));
    }
    for note in &record.notes {
        output.note(format!("note: {note}"));
    }
    if let Some(partial) = &record.partial {
        output.note(format!("these are not all figures: {partial}"));
    }
    if let Some(rows) = comparison {
        output.line("")?;
        output.table(&changes(&rows, &record.lines))?;
    }
    for doubt in doubts {
        output.note(format!("note: {doubt}"));
    }
    Ok(())
}

fn lines(lines: &[Line]) -> Table {
    let mut table = Table::new(&["CASE", "FLOOR", "FIGURE", "RATIO", "NOISE", "GOAL", "REACHED", "WHAT"]);
    for line in lines {
        let (subject, summary) = (&line.subject, &line.summary);
        let shown = |figure: f64| subject.unit.show(figure);
        let noise = match summary.ratio {
            Some(ratio) => range(ratio, |ratio| format!("{ratio:.2}")),
            None => range(summary.figure, shown),
        };
        let what = match &subject.floor {
            Some(floor) => format!("{} (floor: {floor})", subject.what),
            None => subject.what.clone(),
        };
        table.row([
            plain(subject.case),
            plain(summary.floor.map_or(NOTHING.to_owned(), |floor| shown(floor.median))),
            plain(shown(summary.figure.median)),
            plain(summary.ratio.map_or(NOTHING.to_owned(), |ratio| format!("{:.2}", ratio.median))),
            plain(noise),
            plain(subject.goal.show(subject.unit)),
            if summary.reached { ("yes".to_owned(), Tone::Good) } else { ("no".to_owned(), Tone::Bad) },
            plain(what),
        ]);
    }
    table
}

fn changes(rows: &[Row], lines: &[Line]) -> Table {
    let mut table = Table::new(&["CASE", "BEFORE", "NOW", "CHANGE", "VERDICT", "WHAT"]);
    // A row for each line, in the order of the lines.
    for (row, line) in rows.iter().zip(lines) {
        let is_ratio = line.summary.ratio.is_some();
        let spread = |spread: Spread| with_noise(spread, is_ratio, line.subject.unit);
        let verdict = match row.verdict {
            Verdict::Better => ("better".to_owned(), Tone::Good),
            Verdict::Worse => ("worse".to_owned(), Tone::Bad),
            Verdict::Same => plain("within noise"),
            Verdict::New => plain("new"),
        };
        table.row([
            plain(row.case),
            plain(row.before.map_or(NOTHING.to_owned(), spread)),
            plain(spread(row.now)),
            plain(row.change.map_or(NOTHING.to_owned(), |change| format!("× {change:.2}"))),
            verdict,
            plain(&row.what),
        ]);
    }
    table
}

fn with_noise(spread: Spread, is_ratio: bool, unit: Unit) -> String {
    let show = |value: f64| if is_ratio { format!("{value:.2}") } else { unit.show(value) };
    format!("{} ({})", show(spread.median), range(spread, show))
}

fn range(spread: Spread, show: impl Fn(f64) -> String) -> String {
    format!("{}–{}", show(spread.min), show(spread.max))
}
