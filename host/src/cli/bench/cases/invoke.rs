//! P1 to P4 and P11: synchronous calls to a server of one process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bulkhead_eval::results::Isolation;

use super::super::ground::{Ground, in_thread, noop};
use crate::bench::case::Case;
use crate::bench::floor::round_trip::RoundTrip;
use crate::bench::goal::{Bound, Goal};
use crate::bench::line::{Line, Repeat, Subject};
use crate::bench::load::{self, Load, Taken};
use crate::bench::unit::Unit;
use crate::cli::measuring::functions::Function;
use crate::cli::measuring::machine;

/// Connections of a server that is kept busy.
const BUSY: u32 = 32;
/// Connections with large bodies: enough to keep the cores busy, few enough for the caches.
const LARGE: u32 = 4;
/// Bytes of a large body.
const LARGE_BYTES: u64 = 1 << 20;
/// What a `fresh` call may cost more than an echo, in microseconds.
const FRESH_OVER_ECHO_US: f64 = 120.0;
/// Zygotes of the fork floor under load.
pub(super) const ZYGOTES: usize = 2;

/// P1.
pub(super) async fn reuse_at_load(ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    let taken = against_echo(ground, &noop(Isolation::Reuse), BUSY).await?;
    let subject = Subject {
        case: Case::P1,
        what: format!("invoke, reuse, {BUSY} connections"),
        unit: Unit::PerSecond,
        floor: Some("axum echo".to_owned()),
        goal: Goal::ratio(Bound::AtLeast(0.5)),
    };
    Ok(Line::new(subject, taken.iter().map(rates).collect()).into_iter().collect())
}

/// P2.
pub(super) async fn reuse_alone(ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    let peer = Arc::new(ground.round_trip()?);
    let (function, load) = (noop(Isolation::Reuse), Load { connections: 1, during: ground.plan.load_time() });
    let (echo, server) = (ground.echo().await?, ground.server(machine::cores()).await?);
    let (floor, target) = (echo.target(function.content_type, &function.input), server.target(&function)?);
    let mut repeats = Vec::new();
    for repeat in 0..ground.plan.repeat {
        ground.say_repeat(repeat);
        let echo = load::run(&floor, load).await?;
        let trip = round_trip(&peer, ground.plan.step_time()).await?;
        let call = load::run(&target, load).await?;
        let parts = [("echo_p50_us", echo.p50_us), ("round_trip_us", trip)];
        repeats.push(Repeat::over_sum(parts, call.p50_us).with([("p99_us", call.p99_us)]));
    }
    let subject = Subject {
        case: Case::P2,
        what: "invoke, reuse, 1 connection: p50".to_owned(),
        unit: Unit::Microseconds,
        floor: Some("p50 of axum echo + a round trip across cores".to_owned()),
        goal: Goal::ratio(Bound::AtMost(1.0)),
    };
    Ok(Line::new(subject, repeats).into_iter().collect())
}

/// P3.
pub(super) async fn fresh_at_load(ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    let (mut one, mut two) = (ground.zygotes(1).await?, ground.zygotes(ZYGOTES).await?);
    let function = noop(Isolation::Fresh);
    let server = ground.server(machine::cores()).await?;
    let target = server.target(&function)?;
    let load = Load { connections: BUSY, during: ground.plan.load_time() };
    let mut repeats = Vec::new();
    for repeat in 0..ground.plan.repeat {
        ground.say_repeat(repeat);
        let forks = ground.plan.forks();
        let alone = one.per_second(forks).await?;
        let floor = two.per_second(forks).await?;
        let call = load::run(&target, load).await?;
        let parts = [("one_zygote_per_second", alone), ("p99_us", call.p99_us)];
        repeats.push(Repeat::over(floor, call.per_second).with(parts));
    }
    let subject = Subject {
        case: Case::P3,
        what: format!("invoke, fresh, {BUSY} connections"),
        unit: Unit::PerSecond,
        floor: Some("fork, call, exit, wait in two zygotes".to_owned()),
        goal: Goal::ratio(Bound::AtLeast(0.7)),
    };
    Ok(Line::new(subject, repeats).into_iter().collect())
}

/// P4.
pub(super) async fn fresh_alone(ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    let taken = against_echo(ground, &noop(Isolation::Fresh), 1).await?;
    let repeat = |Pair { echo, call }: &Pair| {
        let parts = [("echo_p50_us", echo.p50_us), ("allowed_us", FRESH_OVER_ECHO_US)];
        Repeat::over_sum(parts, call.p50_us).with([("p99_us", call.p99_us)])
    };
    let subject = Subject {
        case: Case::P4,
        what: "invoke, fresh, 1 connection: p50".to_owned(),
        unit: Unit::Microseconds,
        floor: Some(format!("p50 of axum echo + {FRESH_OVER_ECHO_US} µs")),
        goal: Goal::ratio(Bound::AtMost(1.0)),
    };
    Ok(Line::new(subject, taken.iter().map(repeat).collect()).into_iter().collect())
}

/// P11.
pub(super) async fn large_payload(ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    let taken = against_echo(ground, &Function::echo(LARGE_BYTES, Isolation::Reuse), LARGE).await?;
    let subject = Subject {
        case: Case::P11,
        what: format!("invoke, reuse, 1 MiB in and out, {LARGE} connections"),
        unit: Unit::PerSecond,
        floor: Some("axum echo of the same body".to_owned()),
        goal: Goal::ratio(Bound::AtLeast(0.5)),
    };
    Ok(Line::new(subject, taken.iter().map(rates).collect()).into_iter().collect())
}

/// The median of round trips with another process, on a thread of its own, as it stays on one core.
async fn round_trip(peer: &Arc<RoundTrip>, during: Duration) -> anyhow::Result<f64> {
    let peer = Arc::clone(peer);
    let measured = in_thread(move || peer.median_us(during)).await?;
    measured.context("the round trip failed")
}

/// The echo server and then the call, under the same load.
struct Pair {
    echo: Taken,
    call: Taken,
}

fn rates(pair: &Pair) -> Repeat {
    let parts = [("echo_p99_us", pair.echo.p99_us), ("p50_us", pair.call.p50_us), ("p99_us", pair.call.p99_us)];
    Repeat::over(pair.echo.per_second, pair.call.per_second).with(parts)
}

/// Puts the echo server and a function under the same load with the same body, in turns.
async fn against_echo(ground: &mut Ground, function: &Function, connections: u32) -> anyhow::Result<Vec<Pair>> {
    let echo = ground.echo().await?;
    let server = ground.server(machine::cores()).await?;
    let (floor, target) = (echo.target(function.content_type, &function.input), server.target(function)?);
    let load = Load { connections, during: ground.plan.load_time() };
    let mut pairs = Vec::new();
    for repeat in 0..ground.plan.repeat {
        ground.say_repeat(repeat);
        let echo = load::run(&floor, load).await.context("the echo server could not be loaded")?;
        let call = load::run(&target, load).await.context("the server could not be loaded")?;
        pairs.push(Pair { echo, call });
    }
    Ok(pairs)
}
