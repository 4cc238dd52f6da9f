//! How things are told apart: colours that the colour-blind see (Okabe and Ito, 2008), and for whoever sees
//! none, markers and dashes.

use plotters::style::RGBColor;

/// The shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
    Ring,
}

/// The look of a series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) colour: RGBColor,
    pub(super) marker: Marker,
    /// Lengths of a dash and the gap after it, in pixels; none for a whole line.
    pub(super) dash: Option<(i32, i32)>,
    /// Width of lines in pixels.
    pub(super) width: u32,
}

impl Look {
    /// The look of the series with that number.
    pub(super) fn of(number: usize) -> Self {
        let dashes = [None, Some((14, 6)), Some((4, 5)), Some((22, 5)), Some((9, 9)), Some((2, 3))];
        let markers = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond, Marker::Cross, Marker::Ring];
        Self {
            colour: colour(number),
            marker: markers[number % markers.len()],
            dash: dashes[number % dashes.len()],
            width: 3,
        }
    }

    /// A thin grey line: what things are held against.
    pub(super) fn reference() -> Self {
        Self { colour: GREY, marker: Marker::Circle, dash: Some((6, 6)), width: 2 }
    }

    /// The same with another line.
    pub(super) fn dashed(self, dash: Option<(i32, i32)>) -> Self {
        Self { dash, ..self }
    }

    /// The same, thinner.
    pub(super) fn thin(self) -> Self {
        Self { width: 2, ..self }
    }
}

pub(super) const GREY: RGBColor = RGBColor(110, 110, 110);
pub(super) const INK: RGBColor = RGBColor(30, 30, 30);
pub(super) const GRID: RGBColor = RGBColor(222, 222, 222);

/// The colours in an order in which neighbours also differ in lightness.
pub(super) fn colour(number: usize) -> RGBColor {
    const COLOURS: [RGBColor; 8] = [
        RGBColor(0, 114, 178),
        RGBColor(230, 159, 0),
        RGBColor(0, 158, 115),
        RGBColor(204, 121, 167),
        RGBColor(213, 94, 0),
        RGBColor(86, 180, 233),
        RGBColor(60, 60, 60),
        RGBColor(240, 228, 66),
    ];
    COLOURS[number % COLOURS.len()]
}
