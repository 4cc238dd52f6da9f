//! `bulkhead functions`: what a server has registered.

use std::io::{IsTerminal, Write};

use bulkhead_protocol::function::FunctionRef;
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

use super::client::Client;
use super::command::ServerArgs;
use super::failure::{Exit, Failure};
use super::output::{Output, Table, moment, plain, printable};
use crate::gateway::api::{
    Alias, AliasRequest, FunctionDetail, FunctionPage, FunctionSummary, FunctionVersions, Removed,
};

/// What to do with registered functions.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to do.
    #[command(subcommand)]
    command: Command,
    /// Where they are registered.
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List functions, the newest version of each
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  bulkhead functions ls\n  bulkhead functions ls --json | jq -r '.[].name'"
    )]
    Ls,
    /// Show a function: documentation, parameters, limits
    #[command(
        after_help = "Examples:\n  bulkhead functions describe resize\n  bulkhead functions describe resize:prod --json"
    )]
    Describe {
        /// The function: name, name@version, name:alias or a function id.
        #[arg(value_name = "REF")]
        function: String,
    },
    /// List the versions of a function, the newest first
    #[command(after_help = "Examples:\n  bulkhead functions versions resize")]
    Versions {
        /// The function's name.
        name: String,
    },
    /// Point an alias at a version
    #[command(
        after_help = "Examples:\n  bulkhead functions alias resize:prod 3\n  bulkhead invoke resize:prod --data '[]'"
    )]
    Alias {
        /// The function's name and the alias: resize:prod.
        #[arg(value_name = "NAME:ALIAS")]
        alias: String,
        /// The version that it shall mean.
        version: u32,
    },
    /// Remove versions; their numbers are never given again
    #[command(
        visible_alias = "remove",
        after_help = "Examples:\n  bulkhead functions rm resize@2\n  bulkhead functions rm resize --yes   all versions"
    )]
    Rm {
        /// name@version or a function id: one version. A name alone: all of its versions.
        #[arg(value_name = "REF")]
        function: String,
        /// Do not ask before all versions of a name are removed.
        #[arg(short, long)]
        yes: bool,
    },
}

/// Lists, shows, changes or removes functions.
pub(super) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let client = Client::new(&args.server)?;
    match args.command {
        Command::Ls => list(&client, output).await?,
        Command::Describe { function } => describe(&client, &function, output).await?,
        Command::Versions { name } => {
            let found: FunctionVersions = client.get(&["v1", "functions", &name, "versions"], &[]).await?;
            show_functions(&found.versions, output)?;
        }
        Command::Alias { alias, version } => set_alias(&client, &alias, version, output).await?,
        Command::Rm { function, yes } => remove(&client, &function, yes, output).await?,
    }
    Ok(Exit::Success)
}

async fn list(client: &Client, output: &Output) -> anyhow::Result<()> {
    let mut functions = Vec::new();
    let mut query: Vec<(&str, String)> = Vec::new();
    loop {
        let page: FunctionPage = client.get(&["v1", "functions"], &query).await?;
        functions.extend(page.functions);
        match page.cursor {
            Some(cursor) => query = vec![("cursor", cursor)],
            None => break,
        }
    }
    if functions.is_empty() {
        output.note("no function is registered; `bulkhead new NAME` writes one");
    }
    show_functions(&functions, output)
}

fn show_functions(functions: &[FunctionSummary], output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.value(&functions);
    }
    let mut table = Table::new(&["FUNCTION", "VERSION", "ALIASES", "ISOLATION", "REGISTERED", "DESCRIPTION"]);
    for function in functions {
        table.row([
            plain(&function.name),
            plain(function.version),
            plain(function.aliases.join(", ")),
            plain(function.isolation.as_str()),
            moment(function.registered_at),
            plain(&function.summary),
        ]);
    }
    output.table(&table)
}

async fn describe(client: &Client, function: &str, output: &Output) -> anyhow::Result<()> {
    let function: FunctionDetail = client.get(&["v1", "functions", function], &[]).await?;
    if output.is_json() {
        return output.value(&function);
    }
    output.line(format_args!("{}@{}", function.name, function.version))?;
    if !function.doc.is_empty() {
        output.line(format_args!("\n{}", printable(function.doc.trim())))?;
    }
    output.line("")?;
    let limits = &function.limits;
    let aliases = function.aliases.iter().map(|alias| format!("{} → {}", alias.alias, alias.version));
    let mut facts = Table::new(&["FACT", "VALUE"]);
    facts.row([plain("function id"), plain(function.function_id)]);
    facts.row([plain("package"), plain(function.package_id)]);
    facts.row([plain("registered"), plain(function.registered_at)]);
    facts.row([plain("versions"), plain(function.versions.iter().map(u32::to_string).collect::<Vec<_>>().join(", "))]);
    facts.row([plain("aliases"), plain(aliases.collect::<Vec<_>>().join(", "))]);
    facts.row([plain("isolation"), plain(function.isolation.as_str())]);
    facts.row([plain("wall time"), plain(format!("{} ms", limits.timeout_ms))]);
    facts.row([plain("memory"), plain(format!("{} MiB", limits.memory_bytes >> 20))]);
    facts.row([plain("threads"), plain(limits.threads)]);
    let grants =
        [(limits.grants.network, "network"), (limits.grants.processes, "processes"), (limits.grants.jit, "jit")];
    let granted: Vec<_> = grants.into_iter().filter(|(granted, _)| *granted).map(|(_, word)| word).collect();
    facts.row([plain("granted"), plain(granted.join(", "))]);
    output.table(&facts)?;
    let mut parameters = Table::new(&["PARAMETER", "REQUIRED", "TYPE", "DESCRIPTION"]);
    for parameter in &function.parameters {
        let required = if parameter.required { "yes" } else { "no" };
        let description = parameter.schema.get("description").and_then(Value::as_str).unwrap_or_default();
        parameters.row([
            plain(&parameter.name),
            plain(required),
            plain(schema_type(&parameter.schema)),
            plain(description),
        ]);
    }
    output.line("")?;
    output.table(&parameters)
}

/// The type of a JSON Schema in one word, where it is that simple.
fn schema_type(schema: &Value) -> String {
    match schema.get("type") {
        Some(Value::String(name)) => name.clone(),
        // That null is taken as well is what "not required" says.
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect();
            names.join(" or ")
        }
        _ => String::new(),
    }
}

async fn set_alias(client: &Client, alias: &str, version: u32, output: &Output) -> anyhow::Result<()> {
    let Ok(FunctionRef::Alias(name, alias)) = alias.parse() else {
        let failure = Failure::new(Exit::Usage, format!("{alias:?} is no alias"));
        return Err(failure.hint("write name and alias with a colon between them: resize:prod").into());
    };
    let request = client.request(Method::PUT, &["v1", "functions", &name, "aliases", &alias], &[]);
    let set: Alias = client.read(request.json(&AliasRequest { version })).await?;
    if output.is_json() {
        return output.value(&set);
    }
    output.line(format_args!("{}:{} means {}@{}", set.name, set.alias, set.name, set.version))
}

async fn remove(client: &Client, function: &str, yes: bool, output: &Output) -> anyhow::Result<()> {
    if matches!(function.parse(), Ok(FunctionRef::Newest(_))) && !yes && !confirm(function)? {
        return Err(Failure::new(Exit::Usage, "nothing was removed").into());
    }
    let removed: Removed = client.read(client.request(Method::DELETE, &["v1", "functions", function], &[])).await?;
    if output.is_json() {
        return output.value(&removed);
    }
    for version in &removed.removed {
        output.line(format_args!("removed {}@{}", version.name, version.version))?;
    }
    Ok(())
}

/// Asks on the terminal; without one only `--yes` will do.
fn confirm(name: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        let failure = Failure::new(Exit::Usage, format!("removing all versions of {name} needs --yes"));
        return Err(failure.hint(format!("`bulkhead functions rm {name}@VERSION` removes one")).into());
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "Remove all versions of {name}? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_of_parameters_in_one_word() {
        assert_eq!(schema_type(&json!({"type": "string"})), "string");
        assert_eq!(schema_type(&json!({"type": ["integer", "null"]})), "integer");
        assert_eq!(schema_type(&json!({"anyOf": []})), "");
    }
}
