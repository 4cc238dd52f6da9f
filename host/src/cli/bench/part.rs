//! The other side of a floor: this executable, started by `bulkhead bench` as a process of its own.

use std::ffi::OsString;

use anyhow::Context as _;
use tokio::process::Command;

use crate::bench::floor::{echo, round_trip};

/// Arguments of `bulkhead bench-part`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "`bulkhead bench` starts it; there is no use for it by hand.\n\n\
                        Examples:\n  bulkhead bench-part echo")]
pub(in crate::cli) struct Args {
    /// Which side of which floor
    #[arg(value_enum)]
    side: Side,
}

/// A side of a floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Side {
    /// The echo server
    Echo,
    /// Who answers in a round trip
    RoundTrip,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::RoundTrip => "round-trip",
        }
    }

    /// The command that starts it.
    pub(super) fn command(self) -> anyhow::Result<Command> {
        let program = std::env::current_exe().context("failed to find this executable")?;
        let mut command = Command::new(program);
        command.args([OsString::from("bench-part"), self.name().into()]);
        Ok(command)
    }
}

/// Is that side.
pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<()> {
    match args.side {
        Side::Echo => echo::serve().await.context("the echo server failed"),
        Side::RoundTrip => round_trip::answer().context("the round trip failed"),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn sides_are_started_by_the_names_that_are_parsed() {
        for side in Side::value_variants() {
            assert_eq!(Side::from_str(side.name(), false), Ok(*side));
        }
    }
}
