//! `bulkhead dead-letters`: tasks that ended because they crashed too often.

use clap::Subcommand;

use super::client::Client;
use super::command::ServerArgs;
use super::failure::Exit;
use super::output::Output;
use super::tasks::{FilterArgs, list};

/// What to do with dead letters.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to do.
    #[command(subcommand)]
    command: Command,
    /// Which server's.
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tasks that crashed too often, the newest first
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  bulkhead dead-letters ls --since 24h\n  bulkhead dead-letters ls --json | jq -r '.[].task_id'"
    )]
    Ls(FilterArgs),
}

/// Lists dead letters.
pub(super) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let client = Client::new(&args.server)?;
    match args.command {
        Command::Ls(filter) => list(&client, &["v1", "dead-letters"], None, &filter, output).await?,
    }
    Ok(Exit::Success)
}
