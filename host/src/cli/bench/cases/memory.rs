//! P9: memory, with shared pages divided among those that share them (PSS).

use std::time::Duration;

use anyhow::Context as _;
use bulkhead_eval::results::Isolation;

use super::super::ground::{Ground, noop};
use crate::bench::case::Case;
use crate::bench::goal::{Bound, Goal};
use crate::bench::line::{Line, Repeat, Subject};
use crate::bench::load::{self, Load};
use crate::bench::unit::Unit;
use crate::cli::measuring::usage;

/// Slots, and so children that a function has at most.
const SLOTS: u32 = 8;
/// Connections that have every slot get its child.
const CONNECTIONS: u32 = 4 * SLOTS;
/// How long those are kept busy.
const BUSY: Duration = Duration::from_millis(500);
/// How long things are left alone before memory is looked at.
const REST: Duration = Duration::from_millis(500);

/// P9.
pub(super) async fn at_rest_and_per_child(ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    let (mut servers, mut functions, mut children) = (Vec::new(), Vec::new(), Vec::new());
    for repeat in 0..ground.plan.repeat {
        ground.say_repeat(repeat);
        let server = ground.server(SLOTS).await?;
        let process = ground.server_process()?;
        tokio::time::sleep(REST).await;
        servers.push(Repeat::alone(bytes_of(process)?));
        let target = server.target(&noop(Isolation::Fresh))?;
        load::after_quiet(&target, 1, Duration::ZERO).await?;
        let one = Below::at_rest(process).await?;
        functions.push(Repeat::alone(one.bytes).with([("processes", one.processes)]));
        load::run(&target, Load { connections: CONNECTIONS, during: BUSY }).await?;
        let many = Below::at_rest(process).await?;
        let further = many.processes - one.processes;
        anyhow::ensure!(further > 0.0, "the function got no further children");
        children.push(Repeat::alone((many.bytes - one.bytes) / further).with([("children", further)]));
        ground.clear().await;
    }
    let line = |what: &str, most: f64, repeats| {
        let subject = Subject {
            case: Case::P9,
            what: what.to_owned(),
            unit: Unit::Bytes,
            floor: None,
            goal: Goal::figure(Bound::AtMost(most)),
        };
        Line::new(subject, repeats)
    };
    let lines = [
        line("memory of the server at rest", 30e6, servers),
        line("memory of a warm function, fresh", 3e6, functions),
        line("memory of each further child", 300e3, children),
    ];
    Ok(lines.into_iter().flatten().collect())
}

/// The sandboxed processes of a server.
struct Below {
    processes: f64,
    bytes: f64,
}

impl Below {
    async fn at_rest(server: u32) -> anyhow::Result<Self> {
        tokio::time::sleep(REST).await;
        let below = usage::below(server);
        let bytes: Vec<f64> = below.iter().map(|pid| bytes_of(*pid)).collect::<anyhow::Result<_>>()?;
        Ok(Self { processes: below.len() as f64, bytes: bytes.iter().sum() })
    }
}

fn bytes_of(process: u32) -> anyhow::Result<f64> {
    let bytes = usage::proportional_bytes(process).context("the memory of a process cannot be read")?;
    Ok(bytes as f64)
}
