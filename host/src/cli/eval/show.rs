//! What is shown at the end.

use std::path::PathBuf;

use bulkhead_eval::comparison::{Comparison, Verdict};
use bulkhead_eval::results::Results;
use bulkhead_eval::summary;

use crate::cli::output::{Output, Table, Tone, plain};

/// The files that were written.
pub(super) fn files(written: &[PathBuf], output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.value(&serde_json::json!({ "files": written }));
    }
    for file in written {
        output.line(file.display())?;
    }
    Ok(())
}

/// What came out, in one line for programs, and the files.
pub(super) fn results(results: &Results, written: &[PathBuf], output: &Output) -> anyhow::Result<()> {
    let (made, succeeded) = summary::success(results);
    if output.is_json() {
        let partial = &results.partial;
        let short = serde_json::json!({ "files": written, "made": made, "succeeded": succeeded, "partial": partial });
        return output.value(&short);
    }
    output.note(format!("{succeeded} of {made} tasks and calls gave a result"));
    files(written, output)
}

/// Two evaluations side by side, and the files.
pub(super) fn comparison(comparison: &Comparison, written: &[PathBuf], output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        let rows = comparison.rows.iter().map(|row| {
            serde_json::json!({
                "name": row.name, "unit": if row.is_throughput { "tasks_per_second" } else { "microseconds" },
                "before": row.before, "after": row.after, "ratio": row.ratio.value,
                "ratio_low": row.ratio.low, "ratio_high": row.ratio.high, "verdict": row.verdict().as_str(),
            })
        });
        let rows: Vec<_> = rows.collect();
        let whole = serde_json::json!({ "rows": rows, "warnings": comparison.warnings, "files": written });
        return output.value(&whole);
    }
    for warning in &comparison.warnings {
        output.note(format!("beware: {warning}"));
    }
    let mut table = Table::new(&["WHAT", "BEFORE", "AFTER", "RATIO", "95 %", ""]);
    for row in &comparison.rows {
        let unit = if row.is_throughput { "/s" } else { " µs" };
        let interval = match (row.ratio.low, row.ratio.high) {
            (Some(low), Some(high)) => format!("{low:.2}–{high:.2}"),
            _ => String::new(),
        };
        let tone = match row.verdict() {
            Verdict::Better => Tone::Good,
            Verdict::Worse => Tone::Bad,
            Verdict::Same | Verdict::Unknown => Tone::Plain,
        };
        table.row([
            plain(&row.name),
            plain(format!("{:.0}{unit}", row.before)),
            plain(format!("{:.0}{unit}", row.after)),
            plain(format!("{:.2}", row.ratio.value)),
            plain(interval),
            (row.verdict().as_str().to_owned(), tone),
        ]);
    }
    output.table(&table)?;
    if comparison.rows.is_empty() {
        output.note("nothing was measured in both");
    }
    for file in written {
        output.note(file.display());
    }
    Ok(())
}
