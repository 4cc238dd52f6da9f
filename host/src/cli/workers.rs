//! `bulkhead workers`: who runs tasks, and letting one of them leave.

use bulkhead_protocol::id::WorkerId;
use clap::Subcommand;
use reqwest::Method;

use super::client::Client;
use super::command::ServerArgs;
use super::failure::Exit;
use super::output::{Output, Table, Tone, moment, plain};
use crate::gateway::api::{Worker, WorkerPage};

/// What to do with workers.
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
    /// List the workers that are connected now
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  bulkhead workers ls\n  bulkhead workers ls --json | jq -r '.[].worker_id'"
    )]
    Ls,
    /// Let a worker finish what it has and leave
    #[command(after_help = "Examples:\n  bulkhead workers drain 01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e")]
    Drain {
        /// The worker's id.
        #[arg(value_name = "WORKER ID")]
        id: WorkerId,
    },
}

/// Lists workers, or drains one.
pub(super) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let client = Client::new(&args.server)?;
    match args.command {
        Command::Ls => {
            let page: WorkerPage = client.get(&["v1", "workers"], &[]).await?;
            show(&page.workers, output)?;
        }
        Command::Drain { id } => {
            let request = client.request(Method::POST, &["v1", "workers", &format!("{id}:drain")], &[]);
            let worker: Worker = client.read(request).await?;
            if output.is_json() {
                output.value(&worker)?;
            } else {
                output.line(format_args!("draining {id}"))?;
                output.note(format_args!("it has {} calls to finish, and leaves then", worker.running));
            }
        }
    }
    Ok(Exit::Success)
}

fn show(workers: &[Worker], output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.value(&workers);
    }
    if workers.is_empty() {
        output.note("no worker is connected; `bulkhead worker` starts one");
    }
    let mut table = Table::new(&["WORKER ID", "NAME", "MODE", "SLOTS", "RUNNING", "STATE", "SINCE", "DISPATCHER"]);
    for worker in workers {
        table.row([
            plain(worker.worker_id),
            plain(&worker.name),
            plain(&worker.mode),
            plain(worker.slots),
            plain(worker.running),
            state(worker),
            moment(worker.since),
            plain(&worker.dispatcher),
        ]);
    }
    output.table(&table)
}

fn state(worker: &Worker) -> (String, Tone) {
    let (word, tone) = match worker {
        Worker { draining: true, .. } => ("draining", Tone::Bad),
        Worker { resting: true, .. } => ("resting", Tone::Bad),
        Worker { running: 0, .. } => ("idle", Tone::Plain),
        _ => ("busy", Tone::Busy),
    };
    (word.to_owned(), tone)
}
