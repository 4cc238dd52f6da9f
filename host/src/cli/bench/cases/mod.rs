//! The cases, each in the file of what it exercises.

mod distributed;
mod durable;
mod invoke;
mod memory;
mod sandbox;
mod scale;

use super::ground::Ground;
use crate::bench::case::Case;
use crate::bench::line::Line;
use crate::cli::measuring::cluster::redis;

/// Why a case cannot be measured here; none as a rule.
pub(super) fn obstacle(case: Case) -> Option<String> {
    match case {
        Case::P7 | Case::P8 if redis::find().is_none() => Some("there is no redis-server on the path".to_owned()),
        Case::P9 if !nix::unistd::geteuid().is_root() => {
            Some("the memory of sandboxed processes is shown to root alone".to_owned())
        }
        _ => None,
    }
}

/// Measures a case. What it starts is ended by [`Ground::clear`].
pub(super) async fn measure(case: Case, ground: &mut Ground) -> anyhow::Result<Vec<Line>> {
    match case {
        Case::P1 => invoke::reuse_at_load(ground).await,
        Case::P2 => invoke::reuse_alone(ground).await,
        Case::P3 => invoke::fresh_at_load(ground).await,
        Case::P4 => invoke::fresh_alone(ground).await,
        Case::P5 => sandbox::first_result(ground).await,
        Case::P6 => durable::batch(ground).await,
        Case::P7 => distributed::batches(ground).await,
        Case::P8 => distributed::one_by_one(ground).await,
        Case::P9 => memory::at_rest_and_per_child(ground).await,
        Case::P10 => scale::full_against_empty(ground).await,
        Case::P11 => invoke::large_payload(ground).await,
    }
}
