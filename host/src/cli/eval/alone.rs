//! Calls one after the other: how long they take alone, and with payloads.

use std::sync::Arc;

use anyhow::Context as _;
use bulkhead_eval::results::{Isolation, Latency, Payload, Setup, Workload};

use super::pace::{self, Call, Taken};
use crate::cli::measuring::functions::Function;
use crate::cli::measuring::server::Server;

/// Sizes of payloads in bytes.
pub(super) const SIZES: [u64; 6] = [0, 1 << 10, 1 << 14, 1 << 16, 1 << 18, 1 << 20];

/// Calls of a function as a pace makes them.
pub(super) fn calls_of(server: &Server, function: &Function) -> Call {
    let (server, function) = (server.clone(), Arc::new(function.clone()));
    Arc::new(move || {
        let (server, function) = (server.clone(), Arc::clone(&function));
        Box::pin(async move { server.call(&function).await.map(drop) })
    })
}

/// Times calls of a kind of work.
pub(super) async fn latency(
    server: &Server,
    setup: Setup,
    (workload, isolation): (Workload, Isolation),
    repetition: u32,
    calls: u32,
) -> anyhow::Result<Latency> {
    let taken = pace::one_by_one(calls, &calls_of(server, &Function::of(workload, isolation))).await;
    let taken = or_gone(server, taken).await?;
    let took = taken.took.finish();
    Ok(Latency { setup, workload, isolation, repetition, calls: taken.calls, succeeded: took.count, took })
}

/// Times calls that carry so many bytes there and back.
pub(super) async fn payload(
    server: &Server,
    setup: Setup,
    isolation: Isolation,
    bytes: u64,
    calls: u32,
) -> anyhow::Result<Payload> {
    let function = Arc::new(Function::echo(bytes, isolation));
    let echo: Call = Arc::new({
        let server = server.clone();
        move || {
            let (server, function) = (server.clone(), Arc::clone(&function));
            Box::pin(async move {
                let called = server.call(&function).await?;
                // The function gives its argument back as it came.
                anyhow::ensure!(called.body == function.input, "the payload came back as another");
                Ok(())
            })
        }
    });
    // The first finds out how large slots must be.
    let _ = echo().await;
    let taken = or_gone(server, pace::one_by_one(calls, &echo).await).await?;
    let took = taken.took.finish();
    Ok(Payload { setup, isolation, bytes, calls: taken.calls, succeeded: took.count, took })
}

/// What was taken, unless calls failed because the server is gone, or all of them did.
pub(super) async fn or_gone(server: &Server, taken: Taken) -> anyhow::Result<Taken> {
    let Some(error) = taken.error else { return Ok(taken) };
    if taken.took.count() == 0 {
        return Err(error.context("every call failed"));
    }
    server.slots().await.context("the server went away")?;
    Ok(Taken { error: Some(error), ..taken })
}
