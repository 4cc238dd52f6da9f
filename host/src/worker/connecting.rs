//! On the way to a dispatcher: try after try, with growing pauses.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::link::{ConnectError, Dealer, DealerEvent, Endpoint, Events, JoinKey};

/// First and longest pause between two tries; each pause is up to half shorter, so that the workers
/// of a dispatcher that starts anew do not all come at once.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the log says that the dispatcher is still waited for.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A connection just made.
pub(super) type Connection = (Dealer, Events<DealerEvent>);

/// Tries to connect.
pub(super) struct Connecting {
    /// Where to.
    endpoint: Endpoint,
    /// Seals the link.
    join_key: Option<JoinKey>,
    /// The try under way, with the pause before it.
    under_way: BoxFuture<'static, Result<Connection, ConnectError>>,
    /// Tries that failed in a row, with what was learnt from the connections before.
    failures: u32,
    /// When the log last told of it.
    told: Option<Instant>,
}

impl Connecting {
    /// Begins to try, after a pause that fits so many `failures` before.
    pub(super) fn new(endpoint: Endpoint, join_key: Option<JoinKey>, failures: u32) -> Self {
        let under_way = one_try(endpoint.clone(), join_key.clone(), pause_after(failures));
        Self { endpoint, join_key, under_way, failures, told: None }
    }

    /// The end of the try under way.
    ///
    /// # Cancel safety
    /// The try goes on when this is called again.
    pub(super) async fn ended(&mut self) -> Result<Connection, ConnectError> {
        (&mut self.under_way).await
    }

    /// Tries again, and says so in the log from time to time.
    pub(super) fn again(&mut self, now: Instant, error: &ConnectError) {
        self.failures = self.failures.saturating_add(1);
        self.under_way = one_try(self.endpoint.clone(), self.join_key.clone(), pause_after(self.failures));
        if self.told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY) {
            self.told = Some(now);
            let error = error as &dyn std::error::Error;
            tracing::info!(error, "waiting for the dispatcher at {}", self.endpoint);
        }
    }

    /// How many tries failed in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

fn one_try(
    endpoint: Endpoint,
    join_key: Option<JoinKey>,
    pause: Duration,
) -> BoxFuture<'static, Result<Connection, ConnectError>> {
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        Dealer::connect(&endpoint, join_key.as_ref(), TRY_TIMEOUT).await
    })
}

fn pause_after(failures: u32) -> Duration {
    let (first, longest) = PAUSE;
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    let longest = (first * 2u32.saturating_pow(doublings.min(16))).min(longest);
    // Random bits from where all ids come.
    let fraction = f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 255.0;
    longest.mul_f64(1.0 - fraction / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_two_seconds_and_waver_by_half() {
        assert_eq!(pause_after(0), Duration::ZERO);
        for (failures, longest_ms) in [(1, 100), (2, 200), (5, 1600), (6, 2000), (u32::MAX, 2000)] {
            let longest = Duration::from_millis(longest_ms);
            for _ in 0..100 {
                let pause = pause_after(failures);
                assert!(pause <= longest && 2 * pause >= longest, "{failures}: {pause:?}");
            }
        }
    }
}
