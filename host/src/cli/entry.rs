//! From the arguments of the process to its exit code.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use super::command::{Cli, Command};
use super::failure::{self, Exit};
use super::output::Output;
use super::{
    bench, build, check, completions, dead_letters, dispatcher, doctor, eval, functions, gateway, invoke, new,
    register, run, tasks, up, worker, workers,
};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            // Help and version were asked for; everything else is a mistake. clap's own code for
            // those is 2, which here means that a function failed.
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() };
        }
    };
    let output = Output::new(cli.json);
    match run_command(cli.command, &output) {
        Ok(exit) => exit.into(),
        // Whoever read our output has seen enough, as in `bulkhead tasks ls | head`.
        Err(error) if failure::is_broken_pipe(&error) => Exit::Success.into(),
        Err(error) => {
            output.failure(&error);
            failure::exit_of(&error).into()
        }
    }
}

fn run_command(command: Command, output: &Output) -> anyhow::Result<Exit> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Command::Worker(args) = &command {
        runtime.worker_threads(args.threads());
    }
    let runtime = runtime.enable_all().build().context("failed to start the asynchronous runtime")?;
    let exit = runtime.block_on(async {
        match command {
            Command::Up(args) => up::run(*args).await.map(|()| Exit::Success),
            Command::Gateway(args) => gateway::run(*args).await.map(|()| Exit::Success),
            Command::Dispatcher(args) => dispatcher::run(*args).await.map(|()| Exit::Success),
            Command::Worker(args) => worker::run(*args).await.map(|()| Exit::Success),
            Command::New(args) => new::run(args, output),
            Command::Build(args) => build::run(args, output).await,
            Command::Check(args) => check::run(args, output).await,
            Command::Run(args) => run::run(args, output).await,
            Command::Register(args) => register::run(args, output).await,
            Command::Invoke(args) => invoke::run(args, output).await,
            Command::Functions(args) => functions::run(args, output).await,
            Command::Tasks(args) => tasks::run(args, output).await,
            Command::DeadLetters(args) => dead_letters::run(args, output).await,
            Command::Workers(args) => workers::run(args, output).await,
            Command::Doctor(args) => doctor::run(args, output).await,
            Command::Eval(args) => eval::run(*args, output).await,
            Command::Bench(args) => bench::run(*args, output).await,
            Command::BenchPart(args) => bench::part::run(args).await.map(|()| Exit::Success),
            Command::Completions(args) => completions::run(args, output),
        }
    });
    // A cargo that was interrupted may still hold a thread; its end is not worth waiting for.
    runtime.shutdown_background();
    exit
}
