//! From a page to files: SVG by plotters, PNG by resvg from the same text.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use resvg::{tiny_skia, usvg};

use super::SIZE;
use super::look::{GREY, INK};
use super::page::{Entry, Page, Sample};
use super::panel::{Drawn, LABEL_TEXT, TICK_TEXT, draw_line, draw_marker, text};

const REGULAR: &[u8] = include_bytes!("../../fonts/Roboto-Regular.ttf");
const BOLD: &[u8] = include_bytes!("../../fonts/Roboto-Bold.ttf");
/// The name that the fonts have inside.
const FAMILY: &str = "Roboto";

/// Pixels above the panels.
const HEADER: i32 = 82;
/// Pixels of the last line.
const FOOTER: i32 = 30;
/// Pixels of a line of the legend.
const LEGEND_LINE: i32 = 30;
/// Pixels of a sample in the legend.
const SAMPLE: i32 = 56;
/// Pixels at the left and right of everything.
const MARGIN: i32 = 24;

/// Why a picture was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be written.
    #[error("failed to write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The fonts that come along are not taken.
    #[error("failed to load the fonts of the pictures")]
    Fonts,
    /// It cannot be drawn.
    #[error("failed to draw {name}: {reason}")]
    Draw {
        /// The picture.
        name: String,
        /// What the library said.
        reason: String,
    },
}

/// Writes a page as SVG and as PNG; gives both files.
pub(super) fn write(page: &Page, folder: &Path, stem: &str) -> Result<[PathBuf; 2], Error> {
    let failed = |reason: String| Error::Draw { name: stem.to_owned(), reason };
    let svg = svg(page).map_err(failed)?;
    let png = png(&svg).map_err(failed)?;
    let files = [folder.join(format!("{stem}.svg")), folder.join(format!("{stem}.png"))];
    for (path, content) in files.iter().zip([svg.as_bytes(), &png]) {
        fs::write(path, content).map_err(|source| Error::Write { path: path.clone(), source })?;
    }
    Ok(files)
}

/// Gives plotters the fonts by which it measures text.
fn register_fonts() -> bool {
    static DONE: OnceLock<bool> = OnceLock::new();
    *DONE.get_or_init(|| {
        let fonts = [(FontStyle::Normal, REGULAR), (FontStyle::Bold, BOLD)];
        fonts.into_iter().all(|(style, bytes)| register_font("sans-serif", style, bytes).is_ok())
    })
}

/// The page as text of SVG.
pub(super) fn svg(page: &Page) -> Result<String, String> {
    if !register_fonts() {
        return Err(Error::Fonts.to_string());
    }
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        draw(page, &area).map_err(|error| error.to_string())?;
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

/// The bytes of a PNG of the same.
fn png(svg: &str) -> Result<Vec<u8>, String> {
    let mut options = usvg::Options { font_family: FAMILY.to_owned(), ..usvg::Options::default() };
    let fonts = Arc::make_mut(&mut options.fontdb);
    for bytes in [REGULAR, BOLD] {
        fonts.load_font_data(bytes.to_vec());
    }
    fonts.set_sans_serif_family(FAMILY);
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let mut pixels = tiny_skia::Pixmap::new(SIZE.0, SIZE.1).ok_or("a picture without area")?;
    resvg::render(&tree, tiny_skia::Transform::default(), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| error.to_string())
}

fn draw<'a>(page: &Page, area: &DrawingArea<SVGBackend<'a>, Shift>) -> Drawn<'a> {
    area.fill(&WHITE)?;
    let (width, height) = (SIZE.0 as i32, SIZE.1 as i32);
    let left = Pos::new(HPos::Left, VPos::Center);
    let title = text(30).style(FontStyle::Bold).color(&INK).pos(left);
    area.draw(&Text::new(page.title.clone(), (MARGIN, 30), title))?;
    area.draw(&Text::new(page.subtitle.clone(), (MARGIN, 62), text(LABEL_TEXT).color(&GREY).pos(left)))?;
    area.draw(&Text::new(page.footer.clone(), (MARGIN, height - FOOTER / 2), text(14).color(&GREY).pos(left)))?;

    let lines = legend_lines(&page.legend, width - 2 * MARGIN);
    let legend_top = height - FOOTER - lines.len() as i32 * LEGEND_LINE;
    for (number, line) in lines.iter().enumerate() {
        draw_legend_line(area, line, legend_top + number as i32 * LEGEND_LINE + LEGEND_LINE / 2)?;
    }
    let columns = page.columns.max(1);
    let rows = page.panels.len().div_ceil(columns).max(1);
    let all = area.margin(HEADER, height - legend_top + 4, MARGIN / 2, MARGIN / 2);
    for (panel, area) in page.panels.iter().zip(all.split_evenly((rows, columns))) {
        panel.draw(&area)?;
    }
    Ok(())
}

/// Entries with where they begin, as many to a line as fit.
fn legend_lines(entries: &[Entry], width: i32) -> Vec<Vec<(i32, &Entry)>> {
    const GAP: i32 = 34;
    let mut lines: Vec<Vec<(i32, &Entry)>> = Vec::new();
    let mut x = 0;
    for entry in entries {
        // Without its size, a guess from the number of letters.
        let guess = entry.text.chars().count() as u32 * 10;
        let words = text(LABEL_TEXT).box_size(&entry.text).map_or(guess, |(width, _)| width);
        let long = SAMPLE + words as i32 + GAP;
        match lines.last_mut() {
            Some(line) if x + long - GAP <= width => line.push((MARGIN + x, entry)),
            _ => {
                x = 0;
                lines.push(vec![(MARGIN, entry)]);
            }
        }
        x += long;
    }
    lines
}

fn draw_legend_line<'a>(area: &DrawingArea<SVGBackend<'a>, Shift>, line: &[(i32, &Entry)], y: i32) -> Drawn<'a> {
    for (x, entry) in line {
        let (from, to) = (*x, x + SAMPLE - 10);
        if matches!(entry.sample, Sample::Line | Sample::LineAndMarker) {
            draw_line(area, &[(from, y), (to, y)], entry.look)?;
        }
        if matches!(entry.sample, Sample::Marker | Sample::LineAndMarker) {
            draw_marker(area, ((from + to) / 2, y), entry.look)?;
        }
        if entry.sample == Sample::Box {
            let corners = [(from + 10, y - 9), (to - 4, y + 9)];
            area.draw(&Rectangle::new(corners, entry.look.colour.filled()))?;
            area.draw(&Rectangle::new(corners, INK.stroke_width(1)))?;
        }
        let words = text(TICK_TEXT + 1).color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(entry.text.clone(), (to + 8, y), words))?;
    }
    Ok(())
}
