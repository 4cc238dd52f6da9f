//! The pictures: each is drawn once as SVG and rasterised from the same text to PNG, with fonts that come
//! along. One file for each picture; `canvas` makes the files, `page` lays out panels and legends, `panel`
//! draws one, `axis` and `look` are what they are made of.

mod axis;
mod canvas;
mod comparison;
mod comprehensive;
mod latency;
mod load;
mod look;
mod overhead;
mod page;
mod panel;
mod recovery;
mod scaling;
mod workloads;

pub use canvas::Error;

use std::path::{Path, PathBuf};

use crate::comparison::Comparison;
use crate::results::Results;
use page::Page;

/// Width and height of every picture in pixels.
pub const SIZE: (u32, u32) = (1600, 1000);

/// The pictures of an evaluation, in the order of the analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// Everything at a glance.
    Comprehensive,
    /// Where the time of a call goes, and what payloads cost.
    Overhead,
    /// How throughput grows with workers, with the laws that fit it.
    Scaling,
    /// How long calls take, one after the other.
    Latency,
    /// What kinds of work do to throughput.
    Workloads,
    /// How long calls take when many come.
    Load,
    /// What a killed worker does.
    Recovery,
}

impl Picture {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Comprehensive,
        Self::Overhead,
        Self::Scaling,
        Self::Latency,
        Self::Workloads,
        Self::Load,
        Self::Recovery,
    ];

    /// The name of its files, without their ending.
    pub fn file_stem(self) -> &'static str {
        match self {
            Self::Comprehensive => "comprehensive_performance_results",
            Self::Overhead => "overhead_analysis",
            Self::Scaling => "scaling_efficiency_analysis",
            Self::Latency => "latency_percentiles",
            Self::Workloads => "workload_comparison",
            Self::Load => "latency_vs_load",
            Self::Recovery => "recovery_timeline",
        }
    }

    fn page(self, results: &Results) -> Page {
        match self {
            Self::Comprehensive => comprehensive::page(results),
            Self::Overhead => overhead::page(results),
            Self::Scaling => scaling::page(results),
            Self::Latency => latency::page(results),
            Self::Workloads => workloads::page(results),
            Self::Load => load::page(results),
            Self::Recovery => recovery::page(results),
        }
    }
}

/// The name of the files of a comparison's picture, without their ending.
pub const COMPARISON_STEM: &str = "performance_comparison";

/// Draws all pictures into a folder; gives the files.
///
/// # Errors
/// See [`Error`].
pub fn draw(results: &Results, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for picture in Picture::ALL {
        let mut page = picture.page(results);
        page.footer = footer(results);
        files.extend(canvas::write(&page, folder, picture.file_stem())?);
    }
    Ok(files)
}

/// Draws two evaluations side by side; gives the files.
///
/// # Errors
/// See [`Error`].
pub fn draw_comparison(comparison: &Comparison, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    canvas::write(&comparison::page(comparison), folder, COMPARISON_STEM).map(Vec::from)
}

/// What every picture says about where it comes from.
fn footer(results: &Results) -> String {
    let machine = &results.machine;
    let commit = results.commit.as_ref().map_or(String::new(), |commit| {
        let hash: String = commit.hash.chars().take(10).collect();
        format!(" ({hash}{})", if commit.changed { ", changed" } else { "" })
    });
    let partial = results.partial.as_ref().map_or("", |_| "PARTIAL · ");
    format!(
        "{partial}Bulkhead {}{commit}, {} build · {} · {} cores · {} · {}",
        results.version, results.build, machine.cpu, machine.cores, machine.kernel, results.started_at
    )
}
