//! What was counted beside what is committed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::callgrind::Tools;
use crate::figures::{FILE, Figures};

/// Percent above a committed figure that pass, and percent below it that are not worth a word.
const TOLERANCE_PERCENT: u64 = 10;

/// Comes to a verdict over each path.
pub(crate) struct Comparison<'a> {
    /// What is committed.
    committed: &'a Figures,
    /// What was counted.
    counted: BTreeMap<String, u64>,
    /// What is wrong, a line for each path.
    failures: Vec<String>,
    /// What became better, likewise.
    improvements: Vec<String>,
}

impl<'a> Comparison<'a> {
    /// One without any path yet.
    pub(crate) fn with(committed: &'a Figures) -> Self {
        Self { committed, counted: BTreeMap::new(), failures: Vec::new(), improvements: Vec::new() }
    }

    /// The head of the table.
    pub(crate) fn head() -> String {
        format!("{:32} {:>12} {:>12} {:>9}", "instructions of one operation", "committed", "now", "change")
    }

    /// Takes a path in, and gives its line of the table.
    pub(crate) fn add(&mut self, name: &str, now: u64) -> String {
        self.counted.insert(name.to_owned(), now);
        let Some(&committed) = self.committed.instructions.get(name) else {
            self.failures.push(format!("{name} takes {now} instructions, and no figure of it is committed"));
            return format!("{name:32} {:>12} {now:>12} {:>9}", "-", "new");
        };
        let percent = 100.0 * (now as f64 / committed.max(1) as f64 - 1.0);
        let words = format!("{name} takes {now} instructions, {committed} are committed: {percent:+.1} %");
        // In whole numbers, so that exactly as much as is tolerated passes.
        let (now_parts, one_percent) = (now.saturating_mul(100), committed);
        if now_parts > one_percent.saturating_mul(100 + TOLERANCE_PERCENT) {
            self.failures.push(words);
        } else if now_parts < one_percent.saturating_mul(100 - TOLERANCE_PERCENT) {
            self.improvements.push(words);
        }
        format!("{name:32} {committed:>12} {now:>12} {percent:>+8.1}%")
    }

    /// Finds figures of paths that are no more, after all were counted.
    pub(crate) fn find_gone(&mut self) {
        let gone = self.committed.instructions.keys().filter(|name| !self.counted.contains_key(*name));
        self.failures.extend(gone.map(|name| format!("{name} has a figure, and there is no such path")));
    }

    /// Whether somebody has to look.
    pub(crate) fn has_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// What came out, and what to do about it.
    pub(crate) fn conclusion(&self, tools: &Tools) -> String {
        let mut text = String::new();
        for line in &self.improvements {
            let _ = writeln!(text, "better: {line}");
        }
        if !self.improvements.is_empty() {
            text.push_str("  take them in, so that they are not lost again: just instructions --accept\n");
        }
        for line in &self.failures {
            let _ = writeln!(text, "FAILED: {line}");
        }
        if self.failures.is_empty() {
            let _ = writeln!(text, "no path takes more than {TOLERANCE_PERCENT} % above its figure in {FILE}");
            return text;
        }
        for (what, then, now) in [
            ("compiler", &self.committed.tools.rustc, &tools.rustc),
            ("valgrind", &self.committed.tools.valgrind, &tools.valgrind),
            ("C library", &self.committed.tools.libc, &tools.libc),
        ] {
            if then != now {
                let _ =
                    writeln!(text, "  the {what} may be why: the figures were taken with {then:?}, this is {now:?}");
            }
        }
        text.push_str(
            "  to see where: valgrind --tool=callgrind target/release/instructions run NAME 1000, then \
             callgrind_annotate\n  if it has to be so: just instructions --accept, and say why in the commit\n",
        );
        text
    }

    /// What was counted, as figures to commit.
    pub(crate) fn into_figures(self, tools: Tools) -> Figures {
        Figures { arch: std::env::consts::ARCH.to_owned(), tools, instructions: self.counted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(instructions: &[(&str, u64)]) -> Figures {
        let instructions = instructions.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        Figures { instructions, ..Figures::default() }
    }

    /// Whether a path passes that has a figure of 1,000 and now takes so many, and what is said.
    fn verdict(now: u64) -> (bool, String) {
        let committed = figures(&[("path", 1_000)]);
        let mut comparison = Comparison::with(&committed);
        comparison.add("path", now);
        comparison.find_gone();
        (!comparison.has_failed(), comparison.conclusion(&Tools::default()))
    }

    #[test]
    fn a_tenth_more_passes_and_one_instruction_beyond_it_does_not() {
        assert!(verdict(1_100).0);
        let (passed, words) = verdict(1_101);
        assert!(!passed);
        assert!(words.contains("FAILED: path takes 1101 instructions, 1000 are committed: +10.1 %"), "{words}");
        assert!(words.contains("just instructions --accept"), "{words}");
        assert!(!words.contains("may be why"), "{words}");
    }

    #[test]
    fn an_improvement_passes_and_is_told() {
        assert!(!verdict(900).1.contains("better"));
        let (passed, words) = verdict(899);
        assert!(passed);
        assert!(words.contains("better: path takes 899 instructions, 1000 are committed: -10.1 %"), "{words}");
        assert!(words.contains("take them in"), "{words}");
    }

    #[test]
    fn a_path_without_a_figure_and_a_figure_without_a_path_fail() {
        let committed = figures(&[("old", 5)]);
        let mut comparison = Comparison::with(&committed);
        comparison.add("new", 7);
        comparison.find_gone();
        let words = comparison.conclusion(&Tools::default());
        assert!(words.contains("FAILED: new takes 7 instructions, and no figure"), "{words}");
        assert!(words.contains("FAILED: old has a figure"), "{words}");
        assert_eq!(comparison.into_figures(Tools::default()).instructions, figures(&[("new", 7)]).instructions);
    }

    #[test]
    fn a_failure_names_what_else_has_changed() {
        let committed = figures(&[("path", 1_000)]);
        let mut comparison = Comparison::with(&committed);
        comparison.add("path", 2_000);
        let words = comparison.conclusion(&Tools { rustc: "rustc 9".to_owned(), ..Tools::default() });
        assert!(words.contains("the compiler may be why") && words.contains("\"rustc 9\""), "{words}");
        assert!(!words.contains("the valgrind may be why"), "{words}");
    }
}
