//! One panel: axes, and marks in the values of its axes.

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::look::{GREY, GRID, INK, Look, Marker};

/// What is drawn in a panel, in its values.
#[derive(Clone, Debug)]
pub(super) enum Mark {
    /// A line through points.
    Line(Vec<(f64, f64)>, Look),
    /// A marker at each point.
    Points(Vec<(f64, f64)>, Look),
    /// From a low to a high value at a place, with caps.
    ErrorBar { x: f64, low: f64, high: f64, look: Look },
    /// The same lying.
    ErrorBarAcross { y: f64, low: f64, high: f64, look: Look },
    /// A filled box between two corners, with a thin rim.
    Box { from: (f64, f64), to: (f64, f64), fill: RGBColor },
    /// Words to the right of a point.
    Text { at: (f64, f64), text: String },
}

/// A panel.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// In the order in which they are drawn.
    pub(super) marks: Vec<Mark>,
    /// Pixels for what stands beside the vertical axis.
    pub(super) left: i32,
    /// Words in the panel's corner, a line each: results of fits.
    pub(super) notes: Vec<String>,
}

/// Pixels left of a panel with numbers.
pub(super) const NUMBERS_LEFT: i32 = 92;
/// Pixels left of a panel with names.
pub(super) const NAMES_LEFT: i32 = 215;
/// Pixels below the horizontal axis.
const BELOW: i32 = 62;
/// Pixels above a panel, with its title.
const ABOVE: i32 = 40;
/// Pixels right of a panel.
const RIGHT: i32 = 22;

/// Sizes of text in pixels.
pub(super) const TITLE_TEXT: i32 = 21;
pub(super) const LABEL_TEXT: i32 = 18;
pub(super) const TICK_TEXT: i32 = 17;

/// What drawing gives.
pub(super) type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Panel {
    pub(super) fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), x, y, marks: Vec::new(), left: NUMBERS_LEFT, notes: Vec::new() }
    }

    /// A panel of which nothing was measured.
    pub(super) fn empty(title: impl Into<String>, why: &str) -> Self {
        let axis = || Axis::between("", 0.0, 1.0);
        let mut panel = Self::new(title, axis(), axis());
        panel.notes.push(why.to_owned());
        panel
    }

    /// A line with a marker at each point.
    pub(super) fn series(&mut self, points: Vec<(f64, f64)>, look: Look) {
        self.marks.push(Mark::Line(points.clone(), look));
        self.marks.push(Mark::Points(points, look));
    }

    /// Draws it.
    pub(super) fn draw<'a>(&self, area: &Area<'a>) -> Drawn<'a> {
        let (width, height) = area.dim_in_pixel();
        let frame = Frame { left: self.left, right: width as i32 - RIGHT, top: ABOVE, bottom: height as i32 - BELOW };
        let title = text(TITLE_TEXT).style(FontStyle::Bold).color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(self.title.clone(), (frame.left, ABOVE / 2), title))?;
        self.draw_axes(area, &frame)?;
        for mark in &self.marks {
            self.draw_mark(area, &frame, mark)?;
        }
        let note = text(TICK_TEXT).color(&INK).pos(Pos::new(HPos::Left, VPos::Top));
        for (line, words) in self.notes.iter().enumerate() {
            let at = (frame.left + 12, frame.top + 8 + line as i32 * (TICK_TEXT + 5));
            area.draw(&Text::new(words.clone(), at, note.clone()))?;
        }
        Ok(())
    }

    fn draw_axes<'a>(&self, area: &Area<'a>, frame: &Frame) -> Drawn<'a> {
        let style = text(TICK_TEXT).color(&INK);
        for (place, words) in self.x.ticks() {
            let x = frame.x(place);
            area.draw(&PathElement::new([(x, frame.top), (x, frame.bottom)], GRID.stroke_width(1)))?;
            let words =
                Text::new(words.to_owned(), (x, frame.bottom + 6), style.pos(Pos::new(HPos::Center, VPos::Top)));
            area.draw(&words)?;
        }
        for (place, words) in self.y.ticks() {
            let y = frame.y(place);
            if self.y.has_grid {
                area.draw(&PathElement::new([(frame.left, y), (frame.right, y)], GRID.stroke_width(1)))?;
            }
            let right = style.pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(words.to_owned(), (frame.left - 8, y), right))?;
        }
        let corners = [(frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom)];
        area.draw(&PathElement::new(corners, GREY.stroke_width(2)))?;
        let label = text(LABEL_TEXT).color(&INK);
        let middle = ((frame.left + frame.right) / 2, frame.bottom + 32);
        area.draw(&Text::new(self.x.label.clone(), middle, label.pos(Pos::new(HPos::Center, VPos::Top))))?;
        let upright = text(LABEL_TEXT).transform(FontTransform::Rotate270).color(&INK);
        let middle = (6, (frame.top + frame.bottom) / 2);
        area.draw(&Text::new(self.y.label.clone(), middle, upright.pos(Pos::new(HPos::Center, VPos::Top))))
    }

    fn draw_mark<'a>(&self, area: &Area<'a>, frame: &Frame, mark: &Mark) -> Drawn<'a> {
        let pixel = |(x, y): (f64, f64)| Some((frame.x(self.x.place(x)?), frame.y(self.y.place(y)?)));
        match mark {
            Mark::Line(points, look) => {
                let pixels: Vec<_> = points.iter().filter_map(|point| pixel(*point)).collect();
                draw_line(area, &pixels, *look)?;
            }
            Mark::Points(points, look) => {
                for at in points.iter().filter_map(|point| pixel(*point)) {
                    draw_marker(area, at, *look)?;
                }
            }
            Mark::ErrorBar { x, low, high, look } => {
                // What goes beyond the panel ends at its edge.
                let (low, high) = (low.max(self.y.low()), high.min(self.y.high()));
                let (Some(from), Some(to)) = (pixel((*x, low)), pixel((*x, high))) else { return Ok(()) };
                let style = look.colour.stroke_width(2);
                area.draw(&PathElement::new([from, to], style))?;
                for (x, y) in [from, to] {
                    area.draw(&PathElement::new([(x - 6, y), (x + 6, y)], style))?;
                }
            }
            Mark::ErrorBarAcross { y, low, high, look } => {
                let (low, high) = (low.max(self.x.low()), high.min(self.x.high()));
                let (Some(from), Some(to)) = (pixel((low, *y)), pixel((high, *y))) else { return Ok(()) };
                let style = look.colour.stroke_width(2);
                area.draw(&PathElement::new([from, to], style))?;
                for (x, y) in [from, to] {
                    area.draw(&PathElement::new([(x, y - 6), (x, y + 6)], style))?;
                }
            }
            Mark::Box { from, to, fill } => {
                let inside = |(x, y): (f64, f64)| (x.max(self.x.low()), y.max(self.y.low()));
                let (Some(from), Some(to)) = (pixel(inside(*from)), pixel(inside(*to))) else { return Ok(()) };
                area.draw(&Rectangle::new([from, to], fill.filled()))?;
                area.draw(&Rectangle::new([from, to], INK.stroke_width(1)))?;
            }
            Mark::Text { at, text: words } => {
                let Some((x, y)) = pixel(*at) else { return Ok(()) };
                let style = text(TICK_TEXT).color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
                area.draw(&Text::new(words.clone(), (x + 7, y), style))?;
            }
        }
        Ok(())
    }
}

/// Where the axes are, in pixels.
struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl Frame {
    fn x(&self, place: f64) -> i32 {
        self.left + (place * f64::from(self.right - self.left)).round() as i32
    }

    fn y(&self, place: f64) -> i32 {
        self.bottom - (place * f64::from(self.bottom - self.top)).round() as i32
    }
}

/// Text in the font that comes along.
pub(super) fn text<'a>(size: i32) -> FontDesc<'a> {
    FontDesc::new(FontFamily::SansSerif, f64::from(size), FontStyle::Normal)
}

/// A line through pixels.
pub(super) fn draw_line<'a>(area: &Area<'a>, pixels: &[(i32, i32)], look: Look) -> Drawn<'a> {
    if pixels.len() < 2 {
        return Ok(());
    }
    let style = look.colour.stroke_width(look.width);
    match look.dash {
        None => area.draw(&PathElement::new(pixels.to_vec(), style)),
        Some((dash, gap)) => area.draw(&DashedPathElement::new(pixels.to_vec(), dash, gap, style)),
    }
}

/// A marker at a pixel.
pub(super) fn draw_marker<'a>(area: &Area<'a>, (x, y): (i32, i32), look: Look) -> Drawn<'a> {
    const R: i32 = 6;
    let fill = look.colour.filled();
    match look.marker {
        Marker::Circle => area.draw(&Circle::new((x, y), R, fill)),
        Marker::Square => area.draw(&Rectangle::new([(x - R, y - R), (x + R, y + R)], fill)),
        Marker::Triangle => {
            area.draw(&Polygon::new([(x, y - R - 2), (x + R + 1, y + R - 1), (x - R - 1, y + R - 1)], fill))
        }
        Marker::Diamond => {
            area.draw(&Polygon::new([(x, y - R - 2), (x + R + 2, y), (x, y + R + 2), (x - R - 2, y)], fill))
        }
        Marker::Cross => {
            let style = look.colour.stroke_width(4);
            area.draw(&PathElement::new([(x - R, y - R), (x + R, y + R)], style))?;
            area.draw(&PathElement::new([(x - R, y + R), (x + R, y - R)], style))
        }
        Marker::Ring => {
            area.draw(&Circle::new((x, y), R, WHITE.filled()))?;
            area.draw(&Circle::new((x, y), R, look.colour.stroke_width(3)))
        }
    }
}
