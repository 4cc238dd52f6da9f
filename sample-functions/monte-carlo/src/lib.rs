//! Estimates pi on several threads.

use std::thread;

use bulkhead::{Context, Error};
use schemars::JsonSchema;
use serde::Serialize;

/// The most threads that a caller may ask for; the function's limit is one more, for the thread that waits.
const MAX_THREADS: u32 = 16;

/// An estimate of pi.
#[derive(Serialize, JsonSchema)]
pub struct Estimate {
    /// The estimate.
    pi: f64,
    /// How many random points it rests on.
    points: u64,
    /// How many threads drew them.
    threads: u32,
}

/// Draws `points` random points in a square and counts those inside the circle, on `threads` threads (2 unless given).
///
/// The same `seed` (0 unless given), points and threads give the same estimate.
///
/// ```json
/// {"points": 1000000, "threads": 4}
/// ```
///
/// # Errors
///
/// `bad_threads` for a number outside 1 to 16, and `no_points` when there are none.
#[bulkhead::function(threads = 17)]
pub fn monte_carlo(context: &Context, points: u64, threads: Option<u32>, seed: Option<u64>) -> Result<Estimate, Error> {
    let threads = threads.unwrap_or(2);
    if !(1..=MAX_THREADS).contains(&threads) {
        let message = format!("expected threads from 1 to {MAX_THREADS}, found {threads}");
        return Err(Error::new(message).with_code("bad_threads"));
    }
    if points == 0 {
        return Err(Error::new("expected at least one point").with_code("no_points"));
    }
    let count = u64::from(threads);
    let mut generators = SplitMix(seed.unwrap_or(0));
    let inside: u64 = thread::scope(|scope| {
        let handles: Vec<_> = (0..count)
            .map(|index| {
                let share = points / count + u64::from(index < points % count);
                let generator = SplitMix(generators.next());
                scope.spawn(move || inside_circle(share, generator))
            })
            .collect();
        handles
            .into_iter()
            .enumerate()
            .map(|(done, handle)| {
                let inside = handle.join().expect("counting does not panic");
                context.progress((done + 1) as f64 / count as f64, "a thread is done");
                inside
            })
            .sum()
    });
    Ok(Estimate { pi: 4.0 * inside as f64 / points as f64, points, threads })
}

fn inside_circle(points: u64, mut generator: SplitMix) -> u64 {
    let mut inside = 0;
    for _ in 0..points {
        let (x, y) = (generator.next_unit(), generator.next_unit());
        inside += u64::from(x * x + y * y <= 1.0);
    }
    inside
}

/// Steele, Lea and Flood's SplitMix64 (OOPSLA 2014): small, and good enough to throw darts.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to 1, from the upper 53 bits: as many as a double holds.
    fn next_unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use bulkhead::{json, testing::Call};
    use serde_json::Value;

    #[test]
    fn it_comes_close_and_repeats_itself() {
        let run = || {
            let args = json!({"points": 200_000, "threads": 3, "seed": 7});
            Call::new("monte_carlo").args(args).run().expect_ok::<Value>()
        };
        let estimate = run();
        assert!((estimate["pi"].as_f64().unwrap() - std::f64::consts::PI).abs() < 0.02);
        assert_eq!(estimate, run());
    }

    #[test]
    fn it_refuses_what_it_cannot_do() {
        let code = |args| Call::new("monte_carlo").args(args).run().expect_error_code();
        assert_eq!(code(json!([1, 17])), "bad_threads");
        assert_eq!(code(json!([0])), "no_points");
    }
}
