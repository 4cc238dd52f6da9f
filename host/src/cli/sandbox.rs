//! The executor of commands that work without a server: a sandbox on this machine, gone with the
//! command.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bulkhead_protocol::function::PackageDescription;
use bytes::Bytes;
use tempfile::TempDir;

use super::failure::{Exit, Failure};
use crate::executor::{self, Executor, Floor, InspectError};

/// How functions are run on this machine.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct SandboxArgs {
    /// The runner's executable; beside this one when absent.
    #[arg(long, value_name = "PATH", env = "BULKHEAD_RUNNER", help_heading = "Sandbox")]
    pub(super) runner: Option<PathBuf>,
    /// How much of the sandbox must hold here.
    #[arg(
        long,
        value_name = "LEVEL",
        env = "BULKHEAD_SANDBOX_FLOOR",
        default_value = "standard",
        help_heading = "Sandbox"
    )]
    pub(super) sandbox_floor: Floor,
    /// Go on where layers of the sandbox are below the floor.
    #[arg(
        long,
        env = "BULKHEAD_ALLOW_WEAKER_SANDBOX",
        value_parser = clap::builder::BoolishValueParser::new(),
        help_heading = "Sandbox"
    )]
    pub(super) allow_weaker_sandbox: bool,
}

/// An executor with one slot.
pub(super) struct Sandbox {
    /// Runs the functions.
    executor: Executor,
    /// The executor's folder; removed with this value.
    _cache: TempDir,
}

impl Sandbox {
    /// Starts an executor that knows no package: good for inspections.
    pub(super) async fn start(args: &SandboxArgs) -> anyhow::Result<Self> {
        Self::with_package(args, Bytes::new()).await
    }

    /// Starts an executor that knows one package.
    pub(super) async fn with_package(args: &SandboxArgs, package: Bytes) -> anyhow::Result<Self> {
        let cache = tempfile::tempdir().context("failed to make a temporary folder")?;
        let config = executor::Config {
            slots: 1,
            cache: cache.path().to_owned(),
            runner: args.runner.clone(),
            floor: args.sandbox_floor,
            allow_weaker_sandbox: args.allow_weaker_sandbox,
        };
        let known = bulkhead_protocol::package::id_of(&package);
        let packages: executor::FetchPackage = Arc::new(move |id| {
            let package = (id == known).then(|| package.clone());
            Box::pin(async move { Ok(package) })
        });
        let executor = Executor::start(config, packages).await.map_err(|error| {
            let failure = Failure::new(Exit::Platform, error.to_string());
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let failure = source.into_iter().fold(failure, Failure::detail);
            error.advice().into_iter().fold(failure, Failure::hint)
        })?;
        Ok(Self { executor, _cache: cache })
    }

    /// Asks a library for its functions, in a process of its own.
    pub(super) async fn inspect(&self, library: &[u8]) -> anyhow::Result<PackageDescription> {
        let inspected = self.executor.inspect(Bytes::copy_from_slice(library)).await;
        let description = inspected.map(|inspected| inspected.description).map_err(|error| match error {
            InspectError::Refused { reason } => {
                Failure::new(Exit::Usage, "the library does not load in the sandbox").detail(reason)
            }
            InspectError::NoRoom(_) | InspectError::Platform { .. } => Failure::new(Exit::Platform, error.to_string()),
        })?;
        crate::package::check_description(&description)?;
        Ok(description)
    }

    /// The executor, to run a call.
    pub(super) fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Ends every process that was started.
    pub(super) async fn shutdown(self) {
        self.executor.shutdown(Duration::ZERO).await;
    }
}
