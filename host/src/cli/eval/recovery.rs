//! What a killed worker does to a steady load.

use std::time::Duration;

use anyhow::Context as _;
use bulkhead_eval::results::{Isolation, Recovery, Workload};

use super::alone::calls_of;
use super::pace::{self, Answer};
use crate::cli::measuring::cluster::Cluster;
use crate::cli::measuring::functions::Function;
use crate::cli::measuring::server::Server;

/// What each call does: it waits, so that the killed worker has something in hand.
const WORKLOAD: Workload = Workload::Io;
/// The share of what all workers can do that is asked for: what is left of them after the kill can do it.
const SHARE: f64 = 0.3;
/// Calls about the kill: due this long before or after it.
const AROUND: Duration = Duration::from_secs(1);

/// When what happens, from the first due moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// A worker is killed.
    pub(super) kill: Duration,
    /// Another is started.
    pub(super) replace: Duration,
    /// The last call is due.
    pub(super) end: Duration,
    /// The length of a bin.
    pub(super) bin: Duration,
}

impl Times {
    /// Short or long enough.
    pub(super) fn new(quick: bool) -> Self {
        let seconds = Duration::from_secs;
        if quick {
            Self { kill: seconds(2), replace: seconds(4), end: seconds(6), bin: Duration::from_millis(100) }
        } else {
            Self { kill: seconds(5), replace: seconds(12), end: seconds(20), bin: Duration::from_millis(250) }
        }
    }
}

/// Kills a worker of a cluster under load and starts another.
pub(super) async fn run(
    server: &Server,
    cluster: &mut Cluster,
    isolation: Isolation,
    capacity: f64,
    times: Times,
    seed: u64,
) -> anyhow::Result<Recovery> {
    let setup = cluster.setup();
    let offered = capacity * SHARE;
    let call = calls_of(server, &Function::of(WORKLOAD, isolation));
    let load = pace::open_loop(pace::poisson(offered, times.end, seed), &call);
    let faults = async {
        tokio::time::sleep(times.kill).await;
        cluster.kill_worker().await?;
        tokio::time::sleep(times.replace - times.kill).await;
        cluster.add_worker()
    };
    let ((answers, _), faults) = tokio::join!(load, faults);
    faults?;
    server.slots().await.context("the server went away")?;
    let took = pace::times(&answers).finish();
    Ok(Recovery {
        setup,
        isolation,
        offered_per_second: offered,
        killed_after_seconds: times.kill.as_secs_f64(),
        replaced_after_seconds: times.replace.as_secs_f64(),
        bin_seconds: times.bin.as_secs_f64(),
        completed: bins(&answers, times.bin),
        calls: answers.len() as u64,
        succeeded: took.count,
        longest_gap_seconds: longest_gap(&answers, times.kill).as_secs_f64(),
        worst_call_seconds: worst(&answers, times.kill).as_secs_f64(),
        took,
    })
}

/// Good answers in each bin.
fn bins(answers: &[Answer], bin: Duration) -> Vec<u64> {
    let mut bins = Vec::new();
    for answer in answers.iter().filter(|answer| answer.is_good) {
        let place = (answer.done.as_nanos() / bin.as_nanos()) as usize;
        if bins.len() <= place {
            bins.resize(place + 1, 0);
        }
        bins[place] += 1;
    }
    bins
}

/// The longest time without a good answer that ends after the kill.
fn longest_gap(answers: &[Answer], kill: Duration) -> Duration {
    let mut done: Vec<_> = answers.iter().filter(|answer| answer.is_good).map(|answer| answer.done).collect();
    done.sort_unstable();
    let gaps = done.windows(2).filter(|pair| pair[1] > kill).map(|pair| pair[1] - pair[0].max(kill));
    gaps.max().unwrap_or_default()
}

/// How long the slowest good call took that was due about the time of the kill.
fn worst(answers: &[Answer], kill: Duration) -> Duration {
    let about = answers.iter().filter(|answer| answer.is_good && answer.due.abs_diff(kill) <= AROUND);
    about.map(|answer| answer.done.saturating_sub(answer.due)).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_bins_and_the_slowest_call_are_those_of_a_known_outage() {
        // A call every 10 ms, each done 5 ms later; from 1,000 to 1,200 ms nothing is answered, then all at once.
        let ms = Duration::from_millis;
        let answers: Vec<_> = (0..300)
            .map(|number| {
                let due = ms(number * 10);
                let done = due + ms(5);
                let done = if done > ms(1000) && done < ms(1200) { ms(1200) } else { done };
                Answer { due, done, is_good: true }
            })
            .collect();
        let bins = bins(&answers, ms(100));
        assert_eq!(bins[9..14], [10, 0, 0, 30, 10]);
        assert_eq!(bins.iter().sum::<u64>(), 300);
        assert_eq!(longest_gap(&answers, ms(1000)), ms(200));
        assert_eq!(worst(&answers, ms(1000)), ms(200));
        assert_eq!((longest_gap(&[], ms(1)), worst(&[], ms(1))), (Duration::ZERO, Duration::ZERO));
    }
}
