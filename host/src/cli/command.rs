//! The tree of commands and what all of them share.

use clap::{CommandFactory, Parser, Subcommand};

use super::{
    bench, build, check, completions, dead_letters, dispatcher, doctor, eval, functions, gateway, invoke, new,
    register, run, tasks, up, worker, workers,
};

/// Runs native functions as a service, each call in its own sandboxed process.
#[derive(Debug, Parser)]
#[command(
    name = "bulkhead",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
Start here:
  bulkhead up                   start a server
  bulkhead new greet            write a crate with one function
  bulkhead run greet --path greet --data '{\"name\": \"Ada\"}'
  bulkhead register greet       build it and register it with a running server
  bulkhead invoke greet --data '{\"name\": \"Ada\"}'

Exit codes: 0 success, 1 wrong usage or no connection, 2 the function failed, 3 the platform failed,
124 timed out, 130 interrupted with Ctrl-C."
)]
pub(super) struct Cli {
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start a server: store, dispatcher, gateway and what runs calls, in one process
    Up(Box<up::Args>),
    /// Start the HTTP front alone, on a shared Redis
    Gateway(Box<gateway::Args>),
    /// Start a dispatcher alone, on a shared Redis
    Dispatcher(Box<dispatcher::Args>),
    /// Start a worker that runs what a dispatcher hands out
    Worker(Box<worker::Args>),
    /// Write a new function crate
    New(new::Args),
    /// Compile crates into packages
    Build(build::Args),
    /// Check a package or a library without registering it
    Check(check::Args),
    /// Run a function once, without a server, in the same sandbox
    Run(run::Args),
    /// Register the functions of a package with a server
    Register(register::Args),
    /// Call a function on a server
    Invoke(invoke::Args),
    /// List, describe and manage registered functions
    Functions(functions::Args),
    /// List, follow and cancel tasks
    Tasks(tasks::Args),
    /// List tasks that crashed too often
    DeadLetters(dead_letters::Args),
    /// List and drain workers
    Workers(workers::Args),
    /// Show what the sandbox holds on this machine, and what to do where it does not
    Doctor(doctor::Args),
    /// Measure performance, draw it and explain it
    Eval(Box<eval::Args>),
    /// Hold the hot paths against the floors of this machine
    Bench(Box<bench::Args>),
    /// A process that `bulkhead bench` starts to measure with
    #[command(hide = true)]
    BenchPart(bench::part::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Where the server is, for the commands that need one.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// The server.
    #[arg(long, value_name = "URL", env = "BULKHEAD_URL", default_value = "http://127.0.0.1:8000", global = true)]
    pub(super) server: String,
    /// The key to authenticate with, where the server wants one.
    #[arg(long, env = "BULKHEAD_KEY", hide_env_values = true, global = true)]
    pub(super) key: Option<String>,
}

/// The whole tree, for completions and documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        command().debug_assert();
    }

    /// Calls `visit` with every command below and including `command`.
    fn each(command: &clap::Command, path: &str, visit: &mut dyn FnMut(&clap::Command, &str)) {
        let path = format!("{path} {}", command.get_name());
        visit(command, &path);
        for below in command.get_subcommands() {
            each(below, &path, visit);
        }
    }

    #[test]
    fn every_command_and_argument_has_a_help_text_and_every_leaf_an_example() {
        each(&command(), "", &mut |command, path| {
            assert!(command.get_about().is_some(), "{path} has no help text");
            // Hidden is only what the program starts itself.
            assert_eq!(command.is_hide_set(), command.get_name() == "bench-part", "{path}");
            for argument in command.get_arguments() {
                let (id, help) = (argument.get_id(), argument.get_help());
                assert!(help.is_some_and(|help| !help.to_string().is_empty()), "{path} {id} has no help text");
            }
            if !command.has_subcommands() && command.get_name() != "help" {
                let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(after.contains("bulkhead "), "{path} has no example");
            }
        });
    }

    #[test]
    fn examples_in_the_help_texts_can_be_parsed() {
        let mut examples = Vec::new();
        each(&command(), "", &mut |command, _| {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines = after.lines().filter_map(|line| line.trim_start().strip_prefix("bulkhead "));
            examples.extend(lines.map(str::to_owned));
        });
        assert!(examples.len() > 15);
        for example in examples {
            let words = words(&example);
            let parsed = Cli::try_parse_from(std::iter::once("bulkhead".to_owned()).chain(words));
            let is_fine = parsed.as_ref().err().is_none_or(|error| !error.use_stderr());
            assert!(is_fine, "{example}: {}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
        }
    }

    /// Splits an example as a shell does, as far as examples go: quotes, pipes and redirections end
    /// it, and so do two spaces, after which words for the reader follow.
    fn words(example: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        let mut previous = ' ';
        for character in example.chars() {
            match character {
                '\'' => quoted = !quoted,
                '|' | '>' | '#' if !quoted => break,
                ' ' if !quoted && previous == ' ' => break,
                ' ' if !quoted => words.push(String::new()),
                other => words.last_mut().unwrap().push(other),
            }
            previous = character;
        }
        words.retain(|word| !word.is_empty());
        words
    }
}
