//! `bulkhead completions`: scripts for shells.

use clap_complete::{Shell, generate};

use super::command::command;
use super::failure::Exit;
use super::output::Output;

/// Which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bulkhead completions bash > ~/.local/share/bash-completion/completions/bulkhead
  bulkhead completions zsh > ~/.zfunc/_bulkhead
  bulkhead completions fish > ~/.config/fish/completions/bulkhead.fish")]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    generate(args.shell, &mut command(), "bulkhead", &mut script);
    output.bytes(&script)?;
    Ok(Exit::Success)
}
