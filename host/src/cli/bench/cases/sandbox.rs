//! P5: from nothing to the first result.

use bulkhead_eval::results::Isolation;
use bulkhead_protocol::package;

use super::super::ground::{Ground, noop};
use crate::bench::case::Case;
use crate::bench::goal::{Bound, Goal};
use crate::bench::line::{Line, Repeat, Subject};
use crate::bench::load;
use crate::bench::spread::Spread;
use crate::bench::unit::Unit;
use crate::cli::measuring::functions::NOOP;
use crate::cli::measuring::machine;

/// What is to be reached, in microseconds.
const GOAL_US: f64 = 3000.0;

/// P5. Each call is the first of a function of a package of its own.
pub(super) async fn first_result(ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    let function = noop(Isolation::Fresh);
    let mut repeats = Vec::new();
    for repeat in 0..ground.plan.repeat {
        ground.say_repeat(repeat);
        // A new server each time: one that has many sandboxes ends some for others.
        let server = ground.server(machine::cores()).await?;
        let mut times = Vec::new();
        for number in 0..ground.plan.sandboxes() {
            let functions = server.register(variant(ground.packages.of(NOOP)?, number)?).await?;
            let Some(id) = functions.get(function.name) else { continue };
            let target = server.target_of(&id.to_string(), &function)?;
            times.extend(load::after_quiet(&target, 1, std::time::Duration::ZERO).await?);
        }
        ground.clear().await;
        repeats.extend(Spread::of(times).map(|times| Repeat::alone(times.median).with([("slowest_us", times.max)])));
    }
    let subject = Subject {
        case: Case::P5,
        what: "new sandbox to first result: p50".to_owned(),
        unit: Unit::Microseconds,
        floor: None,
        goal: Goal::figure(Bound::AtMost(GOAL_US)),
    };
    Ok(Line::new(subject, repeats).into_iter().collect())
}

/// The same package under another version, and so with another id.
pub(super) fn variant(package: &[u8], number: u32) -> anyhow::Result<Vec<u8>> {
    let package::Package { mut manifest, library } = package::unpack(package)?;
    manifest.version = format!("0.0.{number}");
    Ok(package::pack(manifest, &library)?)
}
