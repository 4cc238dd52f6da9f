//! The functions that are measured: from the samples of the source checkout, built as users build
//! theirs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_eval::results::{Isolation, Workload};
use bytes::Bytes;

use crate::cli::packaging::build_crate;
use crate::cli::sandbox::{Sandbox, SandboxArgs};
use crate::gateway::api;
use crate::package::crates;

/// The crate of the function that does nothing, in the folder of the samples.
pub(in crate::cli) const NOOP: &str = "noop";
/// The crate of the function that gives back what it is given.
pub(in crate::cli) const ECHO: &str = "echo";
/// The crate of the functions that use the processor or wait.
pub(in crate::cli) const WORKLOADS: &str = "workloads";
/// Steps of the busy loop: about two milliseconds of a core of 2020s.
const ROUNDS: u64 = 1_000_000;
/// Bytes that the exchange writes and reads, in KiB.
const KIBIBYTES: u32 = 64;
/// How long the exchange waits, as for another service.
const WAIT_MS: u64 = 5;

/// A function and what it is called with.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Function {
    /// Its name in its package.
    pub(in crate::cli) name: &'static str,
    /// How the input is written.
    pub(in crate::cli) content_type: &'static str,
    /// The input.
    pub(in crate::cli) input: Bytes,
}

impl Function {
    /// The function of a kind of work.
    pub(in crate::cli) fn of(workload: Workload, isolation: Isolation) -> Self {
        let (name, input) = match (workload, isolation) {
            (Workload::Noop, Isolation::Fresh) => ("noop", "[]".to_owned()),
            (Workload::Noop, Isolation::Reuse) => ("noop_reuse", "[]".to_owned()),
            (Workload::Cpu, Isolation::Fresh) => ("compute", format!("[{ROUNDS}]")),
            (Workload::Cpu, Isolation::Reuse) => ("compute_reuse", format!("[{ROUNDS}]")),
            (Workload::Io, Isolation::Fresh) => ("exchange", format!("[{KIBIBYTES},{WAIT_MS}]")),
            (Workload::Io, Isolation::Reuse) => ("exchange_reuse", format!("[{KIBIBYTES},{WAIT_MS}]")),
        };
        Self { name, content_type: "application/json", input: input.into() }
    }

    /// The function that gives back so many bytes.
    pub(in crate::cli) fn echo(bytes: u64, isolation: Isolation) -> Self {
        let name = match isolation {
            Isolation::Fresh => "echo",
            Isolation::Reuse => "echo_reuse",
        };
        Self { name, content_type: api::BINCODE, input: bincode_bytes(bytes).into() }
    }

    /// A line of a batch with it.
    pub(in crate::cli) fn submit_line(&self, id: &str) -> String {
        match std::str::from_utf8(&self.input) {
            Ok(json) if self.content_type != api::BINCODE => format!("{{\"function\":\"{id}\",\"args\":{json}}}\n"),
            _ => format!("{{\"function\":\"{id}\",\"payload\":\"{}\"}}\n", STANDARD.encode(&self.input)),
        }
    }
}

/// The tuple of one argument of so many bytes in bincode 2, standard configuration: the length as a varint,
/// then the bytes (`docs/functions.md`).
fn bincode_bytes(count: u64) -> Vec<u8> {
    let mut input = match count {
        0..=250 => vec![count as u8],
        251..=0xFFFF => [&[251], &(count as u16).to_le_bytes()[..]].concat(),
        0x1_0000..=0xFFFF_FFFF => [&[252], &(count as u32).to_le_bytes()[..]].concat(),
        _ => [&[253], &count.to_le_bytes()[..]].concat(),
    };
    // No repetition that anything on the way could make use of.
    input.extend((0..count).map(|place| (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8));
    input
}

/// Packages by the names of their crates.
pub(in crate::cli) struct Packages(BTreeMap<&'static str, Vec<u8>>);

impl Packages {
    /// Builds crates of the samples.
    ///
    /// # Errors
    /// No source checkout, or a crate that cannot be built.
    pub(in crate::cli) async fn build(args: &SandboxArgs, names: &[&'static str]) -> anyhow::Result<Self> {
        let folder = folder(names)?;
        let sandbox = Sandbox::start(args).await?;
        let mut packages = BTreeMap::new();
        for name in names {
            let built = build_crate(crates::find(&folder.join(name))?, &sandbox).await;
            packages.insert(*name, built.with_context(|| format!("failed to build {name}"))?.package);
        }
        sandbox.shutdown().await;
        Ok(Self(packages))
    }

    /// All of them.
    pub(in crate::cli) fn all(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.0.values()
    }

    /// The package of a crate.
    pub(in crate::cli) fn of(&self, name: &str) -> anyhow::Result<&[u8]> {
        self.0.get(name).map(Vec::as_slice).with_context(|| format!("{name} was not built"))
    }
}

/// The folder of the samples: in the checkout that this program was built from, or below the current folder.
fn folder(names: &[&str]) -> anyhow::Result<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample-functions");
    let has_all = |folder: &PathBuf| names.iter().all(|name| folder.join(name).join("Cargo.toml").is_file());
    [checkout.clone(), PathBuf::from("sample-functions")].into_iter().find(has_all).with_context(|| {
        format!("the functions that are measured belong to the source checkout; they are not in {}", checkout.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_written_as_the_functions_read_them() {
        assert_eq!(bincode_bytes(0), [0]);
        assert_eq!(bincode_bytes(250)[..1], [250]);
        assert_eq!(bincode_bytes(1024)[..3], [251, 0, 4]);
        assert_eq!(bincode_bytes(1 << 20)[..5], [252, 0, 0, 16, 0]);
        assert_eq!(bincode_bytes(1 << 20).len(), (1 << 20) + 5);
    }

    #[test]
    fn a_line_of_a_batch_is_a_document() {
        for function in [Function::of(Workload::Io, Isolation::Fresh), Function::echo(3, Isolation::Reuse)] {
            let line = function.submit_line("an-id");
            assert!(line.ends_with('\n'));
            let submit: api::Submit = serde_json::from_str(&line).unwrap();
            assert_eq!(submit.function, "an-id");
            assert_ne!(submit.args.is_some(), submit.payload.is_some());
        }
    }

    #[test]
    fn the_crates_of_the_checkout_are_there() {
        assert!(folder(&[NOOP, ECHO, WORKLOADS]).is_ok());
    }
}
