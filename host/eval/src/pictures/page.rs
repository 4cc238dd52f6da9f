//! A picture as data: a title, panels in a grid, and one legend below all of them.

use super::look::Look;
use super::panel::Panel;

/// How a legend shows a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// A line with its marker.
    LineAndMarker,
    /// A line.
    Line,
    /// A marker.
    Marker,
    /// A filled box.
    Box,
}

/// A line of the legend.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) look: Look,
    pub(super) sample: Sample,
}

impl Entry {
    pub(super) fn new(text: impl Into<String>, look: Look, sample: Sample) -> Self {
        Self { text: text.into(), look, sample }
    }
}

/// A picture.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) title: String,
    /// One line below the title: what is shown, and how it is to be read.
    pub(super) subtitle: String,
    /// Panels of a row.
    pub(super) columns: usize,
    /// Row by row.
    pub(super) panels: Vec<Panel>,
    pub(super) legend: Vec<Entry>,
    /// Where it comes from.
    pub(super) footer: String,
}

impl Page {
    pub(super) fn new(title: impl Into<String>, subtitle: impl Into<String>, columns: usize) -> Self {
        Self {
            title: title.into(),
            subtitle: subtitle.into(),
            columns,
            panels: Vec::new(),
            legend: Vec::new(),
            footer: String::new(),
        }
    }
}
