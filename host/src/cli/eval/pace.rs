//! The paces at which calls are made: one after the other, by many callers at once, at moments that were
//! drawn beforehand. What is called is a closure, so that none of this knows a server.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bulkhead_eval::results::Recorder;
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

/// A call; the error is why it gave no result.
pub(super) type Call = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// Most calls of one open loop: what is beyond is not drawn.
pub(super) const MAX_ARRIVALS: usize = 500_000;
/// Arrivals that may wait to be noticed by a client that is behind.
const MAX_UNNOTICED: usize = 4096;

/// What came of calls.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Calls that were made.
    pub(super) calls: u64,
    /// How long those took that gave a result.
    pub(super) took: Recorder,
    /// Why the last one failed that did.
    pub(super) error: Option<anyhow::Error>,
}

impl Taken {
    fn take(&mut self, took: Duration, called: anyhow::Result<()>) {
        self.calls += 1;
        match called {
            Ok(()) => self.took.record(took),
            Err(error) => self.error = Some(error),
        }
    }
}

/// Makes calls one after the other.
pub(super) async fn one_by_one(calls: u32, call: &Call) -> Taken {
    let mut taken = Taken::default();
    for _ in 0..calls {
        let began = Instant::now();
        let called = call().await;
        taken.take(began.elapsed(), called);
    }
    taken
}

/// Has so many callers make calls one after the other for a while; gives the calls with a result per second.
pub(super) async fn closed_loop(callers: u32, during: Duration, call: &Call) -> (f64, Taken) {
    let began = Instant::now();
    let callers = (0..callers).map(|_| async {
        let mut taken = Taken::default();
        while began.elapsed() < during {
            let from = Instant::now();
            let called = call().await;
            taken.take(from.elapsed(), called);
        }
        taken
    });
    let mut all = Taken::default();
    for taken in join_all(callers).await {
        all.calls += taken.calls;
        all.took.add(&taken.took);
        all.error = taken.error.or(all.error);
    }
    (all.took.count() as f64 / began.elapsed().as_secs_f64(), all)
}

/// Moments of a Poisson process of so many a second, from its beginning.
pub(super) fn poisson(per_second: f64, during: Duration, seed: u64) -> Vec<Duration> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut at = 0.0;
    let moments = std::iter::from_fn(|| {
        // Times between are exponential; of 1 − u, which is never zero.
        at -= (1.0 - random.f64()).ln() / per_second;
        Duration::try_from_secs_f64(at).ok().filter(|at| *at < during)
    });
    moments.take(MAX_ARRIVALS).collect()
}

/// A call of an open loop, in time from its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// When it was due.
    pub(super) due: Duration,
    /// When it was over.
    pub(super) done: Duration,
    /// Whether it gave a result.
    pub(super) is_good: bool,
}

/// Makes a call at each of the moments, whatever became of the others, and waits for all. Calls are timed
/// from the moment at which they were due: one that could not be sent in time has waited.
pub(super) async fn open_loop(moments: Vec<Duration>, call: &Call) -> (Vec<Answer>, Option<anyhow::Error>) {
    let (tell, mut due) = mpsc::channel(MAX_UNNOTICED);
    let mut answers = Vec::with_capacity(moments.len());
    let began = Instant::now();
    // The timers of the asynchronous runtime count milliseconds, which is longer than a call.
    thread::spawn(move || {
        for moment in moments {
            thread::sleep((began + moment).saturating_duration_since(Instant::now()));
            // Nobody waits any more.
            if tell.blocking_send(moment).is_err() {
                return;
            }
        }
    });
    let mut error = None;
    let mut under_way = FuturesUnordered::new();
    let mut are_more = true;
    while are_more || !under_way.is_empty() {
        tokio::select! {
            moment = due.recv(), if are_more => match moment {
                Some(moment) => {
                    let called = call();
                    under_way.push(async move { (moment, called.await, began.elapsed()) });
                }
                None => are_more = false,
            },
            Some((due, called, done)) = under_way.next() => {
                answers.push(Answer { due, done, is_good: called.is_ok() });
                error = called.err().or(error);
            }
        }
    }
    (answers, error)
}

/// How long the calls took that gave a result, from the moments at which they were due.
pub(super) fn times(answers: &[Answer]) -> Recorder {
    let mut recorder = Recorder::new();
    for answer in answers.iter().filter(|answer| answer.is_good) {
        recorder.record(answer.done.saturating_sub(answer.due));
    }
    recorder
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Barrier;

    use super::*;

    /// Answers of one server with a known service time to calls at these moments: each waits for those
    /// before it.
    fn one_server(moments: &[Duration], service: Duration) -> Vec<Answer> {
        let mut free = Duration::ZERO;
        let answers = moments.iter().map(|due| {
            free = free.max(*due) + service;
            Answer { due: *due, done: free, is_good: true }
        });
        answers.collect()
    }

    #[test]
    fn a_single_server_makes_calls_wait_as_the_formula_says() {
        let service = Duration::from_millis(1);
        for (per_second, seed) in [(300.0, 1), (500.0, 2), (800.0, 3)] {
            let moments = poisson(per_second, Duration::from_secs(600), seed);
            let rate = moments.len() as f64 / 600.0;
            assert!((rate / per_second - 1.0).abs() < 0.01, "{rate} against {per_second}");
            let taken = times(&one_server(&moments, service)).finish();
            // Pollaczek and Khinchine for a constant service time s at the share ρ: s + ρ s / (2 (1 − ρ)).
            let share = rate * service.as_secs_f64();
            let formula = 1000.0 * (1.0 + share / (2.0 * (1.0 - share)));
            assert!((taken.mean_us / formula - 1.0).abs() < 0.03, "{} against {formula}", taken.mean_us);
            assert!(taken.min_us >= 999, "{}", taken.min_us);
        }
    }

    #[test]
    fn what_waits_behind_a_stall_counts_its_wait() {
        // A call a millisecond; the server stands still from 0 to 100 ms and then answers all at once.
        let stall = Duration::from_millis(100);
        let moments: Vec<_> = (0..100).map(Duration::from_millis).collect();
        let answers: Vec<_> = moments.iter().map(|due| Answer { due: *due, done: stall, is_good: true }).collect();
        let taken = times(&answers).finish();
        // Even from 1 to 100 ms: who times from the sending, one at a time, sees a single slow call.
        assert!((taken.p50_us as f64 / 50_000.0 - 1.0).abs() < 0.05, "{}", taken.p50_us);
        assert_eq!(taken.count, 100);
    }

    #[test]
    fn the_same_seed_draws_the_same_moments() {
        let draw = |seed| poisson(100.0, Duration::from_secs(2), seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).is_sorted() && draw(1).last().unwrap() < &Duration::from_secs(2));
        assert_eq!(poisson(1e9, Duration::from_secs(10), 1).len(), MAX_ARRIVALS);
    }

    #[tokio::test]
    async fn an_open_loop_waits_for_no_answer_before_the_next_call() {
        // Each call ends only when all have begun: a loop that waited would never end.
        let all = Arc::new(Barrier::new(50));
        let call: Call = Arc::new(move || {
            let all = Arc::clone(&all);
            Box::pin(async move {
                all.wait().await;
                Ok(())
            })
        });
        let (answers, error) = open_loop(vec![Duration::ZERO; 50], &call).await;
        assert_eq!((answers.len(), answers.iter().all(|answer| answer.is_good)), (50, true));
        assert!(error.is_none());
    }

    #[tokio::test]
    async fn calls_that_fail_are_counted_and_their_times_are_not() {
        let number = Arc::new(AtomicU32::new(0));
        let call: Call = Arc::new(move || {
            let is_good = !number.fetch_add(1, Ordering::Relaxed).is_multiple_of(3);
            Box::pin(async move { if is_good { Ok(()) } else { Err(anyhow::anyhow!("refused")) } })
        });
        let taken = one_by_one(30, &call).await;
        assert_eq!((taken.calls, taken.took.count()), (30, 20));
        assert_eq!(taken.error.unwrap().to_string(), "refused");
        let (answers, error) = open_loop(vec![Duration::ZERO; 30], &call).await;
        assert_eq!((answers.len(), times(&answers).count()), (30, 20));
        assert!(error.is_some());
    }

    #[tokio::test]
    async fn a_closed_loop_has_as_many_calls_under_way_as_callers() {
        let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let highest = Arc::clone(&most);
        let call: Call = Arc::new(move || {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            Box::pin(async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        });
        let (rate, taken) = closed_loop(4, Duration::from_millis(20), &call).await;
        assert!(rate > 0.0 && taken.calls >= 4);
        assert_eq!(highest.load(Ordering::SeqCst), 4);
    }
}
