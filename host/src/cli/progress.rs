//! Progress on stderr, when that is a terminal. indicatif draws nothing otherwise.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const SPINNER: &str = "{spinner} {msg} {elapsed:.dim}";
const BYTES: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {eta:.dim}";
const TIME: &str = "{msg} {wide_bar} {percent}% {elapsed:.dim}, {eta} left";
const STEPS: &str = "{msg} {wide_bar} {pos}/{len} {per_sec:.dim} {eta:.dim}";

/// Work of unknown length.
pub(super) fn spinner(message: impl Into<String>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(style(SPINNER));
    bar.set_message(message.into());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Work in bytes.
pub(super) fn bytes(message: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    bar.set_style(style(BYTES));
    bar.with_message(message)
}

/// Work in steps.
pub(super) fn steps(message: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    bar.set_style(style(STEPS));
    bar.with_message(message)
}

/// Work that is planned to take so long; shows what is left of it.
pub(super) fn time(message: impl Into<String>, planned: Duration) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(milliseconds(planned)), ProgressDrawTarget::stderr());
    bar.set_style(style(TIME));
    bar.set_message(message.into());
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// Moves a bar of [`time`] to what is planned to be over.
pub(super) fn at_time(bar: &ProgressBar, planned: Duration) {
    bar.set_position(milliseconds(planned));
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn style(template: &str) -> ProgressStyle {
    // A template with a mistake shows the default style rather than nothing.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_have_no_mistake() {
        for template in [SPINNER, BYTES, TIME, STEPS] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
