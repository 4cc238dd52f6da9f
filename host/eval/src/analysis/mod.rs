//! `performance_analysis.md`: tables and findings, all of them computed from the results.

mod findings;
mod tables;

use std::fmt::Write as _;

use crate::numbers;
use crate::pictures::Picture;
use crate::results::Results;
use crate::summary;

/// The whole analysis in Markdown. The pictures are named as files of the same folder.
pub fn to_markdown(results: &Results) -> String {
    let mut text = String::from("# Performance analysis\n\n");
    if let Some(why) = &results.partial {
        let _ = writeln!(text, "> **Partial: {why}.** What was measured before is below.\n");
    }
    if results.build != "release" {
        let _ = writeln!(
            text,
            "> **Measured with a {} build.** Its figures say nothing about the product.\n",
            results.build
        );
    }
    head(&mut text, results);
    findings::write(&mut text, results);
    let sections = [
        ("At a glance", Picture::Comprehensive, tables::success as fn(&mut String, &Results)),
        ("Scaling", Picture::Scaling, tables::scaling),
        ("Kinds of work", Picture::Workloads, tables::workloads),
        ("Latency, one call after the other", Picture::Latency, tables::latency),
        ("Latency under load", Picture::Load, tables::load),
        ("Overhead by stage and by payload", Picture::Overhead, tables::overhead),
        ("Recovery from a killed worker", Picture::Recovery, tables::recovery),
    ];
    for (title, picture, table) in sections {
        let _ = writeln!(text, "\n## {title}\n\n![{title}]({}.png)\n", picture.file_stem());
        table(&mut text, results);
    }
    let _ = writeln!(text, "\n## Processor and memory\n");
    tables::parts(&mut text, results);
    if !results.notes.is_empty() {
        let _ = writeln!(text, "\n## Left out\n");
        for note in &results.notes {
            let _ = writeln!(text, "- {note}");
        }
    }
    text
}

/// Where and how it was measured.
fn head(text: &mut String, results: &Results) {
    let (machine, settings) = (&results.machine, &results.settings);
    let commit = results.commit.as_ref().map_or("unknown".to_owned(), |commit| {
        format!("`{}`{}", commit.hash, if commit.changed { ", with changes" } else { "" })
    });
    let words = |words: Vec<&str>| words.join(", ");
    let rows = [
        ("version", format!("{}, {} build, commit {commit}", results.version, results.build)),
        (
            "machine",
            format!(
                "{}, {} cores, {}, {}",
                machine.cpu,
                machine.cores,
                numbers::bytes(machine.memory_bytes as f64),
                machine.kernel
            ),
        ),
        (
            "noise",
            format!(
                "load average {:.2} before; processors {} busy and {} taken by other virtual machines meanwhile",
                machine.load_before,
                numbers::percent(machine.busy_share),
                numbers::percent(machine.steal_share)
            ),
        ),
        ("when", format!("{} to {}", results.started_at, results.ended_at)),
        (
            "what",
            settings.target.as_ref().map_or_else(
                || {
                    format!(
                        "modes {}; stores {}; workers {}",
                        words(settings.modes.iter().map(|mode| mode.as_str()).collect()),
                        words(settings.stores.iter().map(|store| store.as_str()).collect()),
                        settings.workers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                    )
                },
                |target| format!("the cluster at {target}"),
            ),
        ),
        (
            "work",
            format!(
                "{}; isolation {}; repetitions: {}, interleaved",
                words(settings.workloads.iter().map(|workload| workload.as_str()).collect()),
                words(settings.isolations.iter().map(|isolation| isolation.as_str()).collect()),
                settings.repeat
            ),
        ),
    ];
    text.push_str("| | |\n| --- | --- |\n");
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    let (made, good) = summary::success(results);
    let _ = writeln!(
        text,
        "\n{} tasks and calls were made; {} gave a result ({}).",
        numbers::count(made),
        numbers::count(good),
        numbers::percent(if made == 0 { 0.0 } else { good as f64 / made as f64 })
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Machine, Settings};

    #[test]
    fn of_nothing_it_says_so_and_of_a_part_why() {
        let mut results = Results::new("0", "release", Machine::default(), Settings::default(), String::new());
        results.partial = Some("interrupted with Ctrl-C".to_owned());
        let text = to_markdown(&results);
        assert!(text.contains("Partial: interrupted with Ctrl-C"), "{text}");
        assert!(text.contains("Not measured."), "{text}");
        for picture in Picture::ALL {
            assert!(text.contains(&format!("({}.png)", picture.file_stem())), "{text}");
        }
    }
}
