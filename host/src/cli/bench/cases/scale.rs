//! P10: whether a task costs more where there are very many.

use bulkhead_eval::results::Isolation;

use super::super::ground::{Ground, noop};
use super::durable::{tasks_per_second, warm_up};
use super::sandbox::variant;
use crate::bench::case::Case;
use crate::bench::goal::{Bound, Goal};
use crate::bench::line::{Line, Repeat, Subject};
use crate::bench::unit::Unit;
use crate::cli::measuring::functions::NOOP;
use crate::cli::measuring::machine;

/// Functions that are registered with the full store.
const FUNCTIONS: usize = 1000;

/// P10.
pub(super) async fn full_against_empty(ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    let (function, tasks) = (noop(Isolation::Reuse), ground.plan.stored_tasks());
    let full = ground.server(machine::cores()).await?;
    ground.say(&format!("  registering {FUNCTIONS} functions"));
    let (mut functions, mut number) = (0, 0);
    while functions < FUNCTIONS {
        functions += full.register(variant(ground.packages.of(NOOP)?, number)?).await?.len();
        number += 1;
    }
    ground.say(&format!("  filling a store with {tasks} tasks"));
    full.fill(&function, tasks).await?;
    let mut repeats = Vec::new();
    for repeat in 0..ground.plan.repeat {
        ground.say_repeat(repeat);
        // New each time, or it would not be empty any more.
        let empty = ground.server(machine::cores()).await?;
        warm_up(&empty, &function).await?;
        let floor = 1e6 / tasks_per_second(&empty, &function, ground.plan.tasks()).await?;
        ground.end_last().await;
        let figure = 1e6 / tasks_per_second(&full, &function, ground.plan.tasks()).await?;
        repeats.push(Repeat::over(floor, figure));
    }
    let subject = Subject {
        case: Case::P10,
        what: format!("cost of a task, reuse, among {tasks} tasks and {FUNCTIONS} functions"),
        unit: Unit::Microseconds,
        floor: Some("the same in an empty store".to_owned()),
        goal: Goal::ratio(Bound::AtMost(1.2)),
    };
    Ok(Line::new(subject, repeats).into_iter().collect())
}
