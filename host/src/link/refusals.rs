//! Says in the log whom the dispatcher refuses, and not more often than helps.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Lines of one period.
const LINES: u32 = 10;
/// The period.
const PERIOD: Duration = Duration::from_secs(10);

/// Counts refusals; anybody who can connect can cause them.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// When the period began.
    since: Option<Instant>,
    /// Lines since then.
    lines: u32,
    /// Refusals since then that got no line.
    unsaid: u64,
}

impl Refusals {
    /// Writes one refusal into the log, if there is room.
    pub(super) fn log(&mut self, now: Instant, address: Option<&str>, why: impl Display) {
        if self.since.is_none_or(|since| now.duration_since(since) >= PERIOD) {
            if self.unsaid > 0 {
                tracing::warn!(count = self.unsaid, "refused more connections to the worker link");
            }
            *self = Self { since: Some(now), lines: 0, unsaid: 0 };
        }
        if self.lines < LINES {
            self.lines += 1;
            let address = address.unwrap_or("unknown");
            tracing::warn!(address, "refused a connection to the worker link: {why}");
        } else {
            self.unsaid += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written to the log.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn refusals_are_named_and_a_flood_of_them_is_counted() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(move || writer.clone()).finish();
        let start = Instant::now();
        tracing::subscriber::with_default(subscriber, || {
            let mut refusals = Refusals::default();
            for _ in 0..LINES + 7 {
                refusals.log(start, Some("192.0.2.1"), "its join key is another one");
            }
            refusals.log(start + PERIOD, None, "it does not greet");
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len() as u32, LINES + 2, "{log}");
        assert!(lines[0].contains("WARN") && lines[0].contains("its join key is another one"), "{}", lines[0]);
        assert!(lines[0].contains("192.0.2.1"), "{}", lines[0]);
        assert!(lines[LINES as usize].contains("count=7"), "{}", lines[LINES as usize]);
        assert!(lines[LINES as usize + 1].contains("unknown"), "{}", lines[LINES as usize + 1]);
    }
}
