//! What is shown: results on stdout, everything else on stderr. Text of functions and servers is
//! shown without control characters, which could drive the terminal.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, presets};
use serde::Serialize;

use super::failure::{self, Failure};
use crate::gateway::api::Timestamp;

/// How the command's output is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// JSON for programs instead of text for people.
    json: bool,
    /// Whether stdout is a terminal that takes colours.
    styled: bool,
}

impl Output {
    /// Looks at the terminal and at `NO_COLOR`.
    pub(super) fn new(json: bool) -> Self {
        Self { json, styled: !json && stdout().is_terminal() && takes_colour() }
    }

    /// Whether programs read the output.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Writes bytes and a line feed, unless they end with one, to stdout.
    pub(super) fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = stdout().lock();
        out.write_all(bytes)?;
        if !bytes.ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// Writes a line to stdout.
    pub(super) fn line(&self, line: impl Display) -> anyhow::Result<()> {
        self.bytes(line.to_string().as_bytes())
    }

    /// Writes a value as JSON to stdout: indented on a terminal, else on one line.
    pub(super) fn value(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let write = if stdout().is_terminal() { serde_json::to_vec_pretty } else { serde_json::to_vec };
        self.bytes(&write(value)?)
    }

    /// Writes a table to stdout; nothing when it has no rows.
    pub(super) fn table(&self, table: &Table) -> anyhow::Result<()> {
        if table.rows.is_empty() { Ok(()) } else { self.line(table.render(self.styled)) }
    }

    /// Writes a line to stderr.
    pub(super) fn note(&self, note: impl Display) {
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(stderr(), "{note}");
    }

    /// Writes what went wrong to stderr.
    pub(super) fn failure(&self, error: &anyhow::Error) {
        let text =
            if self.json { failure_json(error) } else { failure_text(error, stderr().is_terminal() && takes_colour()) };
        self.note(text.trim_end());
    }
}

/// <https://no-color.org>: any value but the empty one turns colours off.
fn takes_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn failure_text(error: &anyhow::Error, styled: bool) -> String {
    let paint = |code: &str, text: &str| if styled { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let mut text = format!("{} {}\n", paint("1;31", "error:"), printable(&error.to_string()));
    // A failure says everything itself; what other errors were caused by is in their chain.
    for cause in error.chain().skip(1).filter(|_| error.downcast_ref::<Failure>().is_none()) {
        text += &format!("  because: {}\n", printable(&cause.to_string()));
    }
    if let Some(failure) = error.downcast_ref::<Failure>() {
        for detail in &failure.details {
            text += &format!("  {}\n", printable(detail));
        }
    }
    if let Some(hint) = failure::hint_of(error) {
        text += &format!("{} {}\n", paint("1", "hint:"), printable(&hint));
    }
    text
}

fn failure_json(error: &anyhow::Error) -> String {
    let failure = error.downcast_ref::<Failure>();
    let json = serde_json::json!({
        "error": error.to_string(),
        "causes": error.chain().skip(1).map(ToString::to_string).collect::<Vec<_>>(),
        "details": failure.map(|failure| &failure.details),
        "hint": failure::hint_of(error),
        "problem": failure.and_then(|failure| failure.problem.as_ref()),
        "exit_code": failure::exit_of(error) as u8,
    });
    json.to_string()
}

/// Text that cannot drive a terminal: control characters but line feed and tab read as U+FFFD.
pub(super) fn printable(text: &str) -> String {
    let is_safe = |c: char| !c.is_control() || c == '\n' || c == '\t';
    text.chars().map(|c| if is_safe(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// Spaces between two columns.
const GAP: u16 = 2;
/// Characters that the last column needs to be read when its cells are wrapped.
const MIN_LAST_WIDTH: u16 = 20;

/// What a cell says about its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing.
    Plain,
    /// All is well.
    Good,
    /// Something failed.
    Bad,
    /// Something goes on.
    Busy,
}

/// Rows under headers: aligned and coloured on a terminal, fields between tabs in a pipe.
#[derive(Debug)]
pub(super) struct Table {
    /// One word for each column, in capitals.
    headers: &'static [&'static str],
    /// As many cells each as there are headers.
    rows: Vec<Vec<(String, Tone)>>,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(headers: &'static [&'static str]) -> Self {
        Self { headers, rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [(String, Tone); N]) {
        self.rows.push(cells.into());
    }

    /// The table as text, without a line feed at its end.
    pub(super) fn render(&self, styled: bool) -> String {
        let one_line = |text: &str| printable(text).replace(['\n', '\t'], " ");
        if !styled {
            let rows =
                self.rows.iter().map(|row| row.iter().map(|(text, _)| one_line(text)).collect::<Vec<_>>().join("\t"));
            return std::iter::once(self.headers.join("\t")).chain(rows).collect::<Vec<_>>().join("\n");
        }
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).enforce_styling();
        table.set_header(self.headers.iter().map(|header| Cell::new(header).add_attribute(Attribute::Bold)));
        for row in &self.rows {
            table.add_row(row.iter().map(|(text, tone)| {
                let cell = Cell::new(one_line(text));
                match tone {
                    Tone::Plain => cell,
                    Tone::Good => cell.fg(Color::Green),
                    Tone::Bad => cell.fg(Color::Red),
                    Tone::Busy => cell.fg(Color::Yellow),
                }
            }));
        }
        // Only the last column gives way on a narrow terminal: a task id in two pieces cannot be
        // copied. Where even that is too little, lines run over, which can be read and copied.
        let widths = table.column_max_content_widths();
        let (last, fixed) = widths.split_last().map_or((0, &[][..]), |(last, fixed)| (*last, fixed));
        let fixed_width: u16 = fixed.iter().map(|width| width + GAP).sum();
        let room = table.width().map_or(u16::MAX, |width| width.saturating_sub(fixed_width));
        if room < last.min(MIN_LAST_WIDTH) {
            table.set_content_arrangement(ContentArrangement::Disabled);
        } else {
            table.set_constraints(vec![ColumnConstraint::ContentWidth; fixed.len()]);
        }
        table.style_text_only();
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        table.trim_fmt()
    }
}

/// A cell with a moment, to the second.
pub(super) fn moment(moment: Timestamp) -> (String, Tone) {
    plain(Timestamp::from_unix_ms(moment.unix_ms / 1000 * 1000).to_string().replace(".000Z", "Z"))
}

/// A cell that says nothing about its row.
pub(super) fn plain(text: impl Display) -> (String, Tone) {
    (text.to_string(), Tone::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "STATUS"]);
        table.row([plain("hello"), ("COMPLETED".to_owned(), Tone::Good)]);
        table.row([plain("with\ttab\nand\x1b[31m"), ("FAILED".to_owned(), Tone::Bad)]);
        table
    }

    #[test]
    fn a_piped_table_has_a_line_per_row_and_a_tab_per_column() {
        let expected = "NAME\tSTATUS\nhello\tCOMPLETED\nwith tab and\u{fffd}[31m\tFAILED";
        assert_eq!(table().render(false), expected);
    }

    #[test]
    fn a_table_on_a_terminal_is_aligned_and_coloured() {
        let text = table().render(true);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains("\x1b[38;5;10mCOMPLETED"), "{text:?}");
        assert!(!text.contains("\x1b[31m"), "{text:?}");
    }

    #[test]
    fn moments_are_shown_to_the_second() {
        assert_eq!(moment(Timestamp::from_unix_ms(1_700_000_000_250)).0, "2023-11-14T22:13:20Z");
    }

    #[test]
    fn errors_say_their_causes_or_their_details() {
        let error = anyhow::anyhow!("no such file").context("failed to read x");
        assert_eq!(failure_text(&error, false), "error: failed to read x\n  because: no such file\n");
        let failure = Failure::new(Exit::Usage, "refused").detail("it is\x07 so").hint("do other things");
        let text = failure_text(&failure.into(), false);
        assert_eq!(text, "error: refused\n  it is\u{fffd} so\nhint: do other things\n");
    }

    #[test]
    fn errors_in_json_carry_the_exit_code() {
        let error = Failure::new(Exit::Function, "it failed").detail("so").into();
        let json: serde_json::Value = serde_json::from_str(&failure_json(&error)).unwrap();
        assert_eq!(json["exit_code"], 2);
        assert_eq!(json["details"][0], "so");
    }
}
