//! P7 and P8: a gateway, a dispatcher, two workers of one slot each, and a Redis that keeps nothing on disk.

use std::time::Duration;

use anyhow::Context as _;
use bulkhead_eval::results::{Isolation, Mode, Setup, Store};

use super::super::ground::{Ground, in_thread, noop};
use super::durable::{GOAL_PER_SECOND, tasks_per_second, warm_up};
use super::invoke::ZYGOTES;
use crate::bench::case::Case;
use crate::bench::floor::{redis, zmq};
use crate::bench::goal::{Bound, Goal};
use crate::bench::line::{Line, Repeat, Subject};
use crate::bench::load::{self, Load};
use crate::bench::spread::Spread;
use crate::bench::unit::Unit;

/// How tasks get to workers.
const MODES: [Mode; 2] = [Mode::Pull, Mode::Push];
/// Workers of one slot.
const WORKERS: u32 = 2;
/// Redis round trips that a task may take: it is stored, claimed, and its end is stored.
const REDIS_ROUND_TRIPS: f64 = 3.0;
/// What a call may take at most, in microseconds.
const MOST_US: f64 = 600.0;
/// How long nothing happens before a single call.
const QUIET: Duration = Duration::from_secs(1);

fn setup(mode: Mode) -> Setup {
    Setup { mode, store: Store::Redis, workers: WORKERS }
}

/// P7.
pub(super) async fn batches(ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    let (reuse, fresh) = (noop(Isolation::Reuse), noop(Isolation::Fresh));
    let mut lines = Vec::new();
    for mode in MODES {
        let mut zygotes = ground.zygotes(ZYGOTES).await?;
        let redis = ground.redis().await?;
        let server = ground.cluster(setup(mode)).await?;
        warm_up(&server, &reuse).await?;
        warm_up(&server, &fresh).await?;
        let (mut reused, mut forked) = (Vec::new(), Vec::new());
        for repeat in 0..ground.plan.repeat {
            ground.say_repeat(repeat);
            let floor = tasks_in_redis(&redis, ground.plan.step_time()).await?;
            reused.push(Repeat::over(floor, tasks_per_second(&server, &reuse, ground.plan.tasks()).await?));
            let floor = zygotes.per_second(ground.plan.forks()).await?;
            forked.push(Repeat::over(floor, tasks_per_second(&server, &fresh, ground.plan.fresh_tasks()).await?));
        }
        ground.clear().await;
        let reuse = Goal::figure(Bound::AtLeast(GOAL_PER_SECOND));
        let fresh = Goal::ratio(Bound::AtLeast(0.6));
        lines.extend(batch_line(mode, Isolation::Reuse, "task lives in Redis, in batches of 64", reuse, reused));
        lines.extend(batch_line(mode, Isolation::Fresh, "fork, call, exit, wait in two zygotes", fresh, forked));
    }
    Ok(lines)
}

fn batch_line(mode: Mode, isolation: Isolation, floor: &str, goal: Goal, repeats: Vec<Repeat>) -> Option<Line> {
    let subject = Subject {
        case: Case::P7,
        what: format!("{} with Redis, batch to all results, {}", mode.as_str(), isolation.as_str()),
        unit: Unit::PerSecond,
        floor: Some(floor.to_owned()),
        goal,
    };
    Line::new(subject, repeats)
}

/// P8.
pub(super) async fn one_by_one(ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    let function = noop(Isolation::Reuse);
    let mut lines = Vec::new();
    for mode in MODES {
        let redis = ground.redis().await?;
        let server = ground.cluster(setup(mode)).await?;
        warm_up(&server, &function).await?;
        let target = server.target(&function)?;
        let load = Load { connections: 1, during: ground.plan.load_time() };
        let (mut busy, mut quiet) = (Vec::new(), Vec::new());
        for repeat in 0..ground.plan.repeat {
            ground.say_repeat(repeat);
            let parts = steps(&redis, ground.plan.step_time()).await?;
            let taken = load::run(&target, load).await?;
            busy.push(Repeat::over_sum(parts, taken.p50_us).with([("p99_us", taken.p99_us)]));
            let times = load::after_quiet(&target, ground.plan.quiet_calls(), QUIET).await?;
            quiet.extend(Spread::of(times).map(|times| Repeat::over_sum(parts, times.median)));
        }
        ground.clear().await;
        lines.extend(alone_line(mode, "one after the other", busy));
        lines.extend(alone_line(mode, "after a second of quiet", quiet));
    }
    Ok(lines)
}

fn alone_line(mode: Mode, when: &str, repeats: Vec<Repeat>) -> Option<Line> {
    let subject = Subject {
        case: Case::P8,
        what: format!("{} with Redis, reuse, {when}: p50", mode.as_str()),
        unit: Unit::Microseconds,
        floor: Some("3 Redis round trips + 2 ZMQ hops".to_owned()),
        goal: Goal { ratio: Some(Bound::AtMost(1.0)), figure: Some(Bound::AtMost(MOST_US)) },
    };
    Line::new(subject, repeats)
}

async fn tasks_in_redis(url: &str, during: Duration) -> anyhow::Result<f64> {
    let url = url.to_owned();
    let measured = in_thread(move || redis::tasks_per_second(&mut redis::open(&url)?, during)).await?;
    measured.context("failed to measure Redis")
}

/// The steps that a task cannot do without.
async fn steps(url: &str, during: Duration) -> anyhow::Result<[(&'static str, f64); 2]> {
    let url = url.to_owned();
    let trip = in_thread(move || redis::round_trip_us(&mut redis::open(&url)?, during)).await?;
    let trip = trip.context("failed to measure Redis")?;
    let hops = in_thread(move || zmq::round_trip_us(during)).await?.context("failed to measure ZMQ")?;
    Ok([("redis_round_trips_us", REDIS_ROUND_TRIPS * trip), ("zmq_hops_us", hops)])
}
