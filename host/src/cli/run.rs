//! `bulkhead run`: one call without a server, in the sandbox that a server would use.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use bulkhead_protocol::function::{Function, FunctionDescription, PackageDescription};
use bulkhead_protocol::id::{FunctionId, TaskId};
use bulkhead_protocol::limits::{Grants, Limits};
use bulkhead_protocol::outcome::Report;
use bulkhead_protocol::package as package_file;
use bulkhead_protocol::task::Encoding;
use bytes::Bytes;
use serde_json::{json, value::RawValue};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::invoke::DataArgs;
use super::output::{Output, printable};
use super::packaging::load_or_build;
use super::progress;
use super::sandbox::{Sandbox, SandboxArgs};
use crate::executor::Call;
use crate::gateway::api::{DurationText, Outcome};

/// What to run.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Run a function once, without a server, in the same sandbox.\n\n\
        The crate at --path is built first. The result goes to stdout; what the function prints goes to stderr.",
    after_help = "\
Examples:
  bulkhead run greet --data '{\"name\": \"Ada\"}'
  bulkhead run --path sample-functions/hello --data '[\"Ada\"]'
  bulkhead run resize --path resize.bhpkg --data-file call.json --timeout 2s"
)]
pub(super) struct Args {
    /// The function; may be left out when the package has only one.
    function: Option<String>,
    /// Folder of the crate, or a package file.
    #[arg(long, default_value = ".")]
    path: PathBuf,
    /// The arguments of the call.
    #[command(flatten)]
    data: DataArgs,
    /// Wall time of the call; the function's own limit when absent.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<DurationText>,
    /// Grant what the function asks for, on this machine and for this call.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT", help_heading = "Sandbox")]
    grant: Vec<Grant>,
    /// Where to run it.
    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// What a function can be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Grant {
    /// Connections to whatever this machine reaches, itself included.
    Network,
    /// Copies of its process.
    Processes,
    /// New executable memory.
    Jit,
}

/// Builds or reads a package, and calls one function of it.
pub(super) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let input = args.data.read()?;
    let package = Bytes::from(load_or_build(&args.path, &args.sandbox).await?);
    let unpacked = package_file::unpack(&package)?;
    crate::package::check_library(&unpacked.library)?;

    let sandbox = Sandbox::with_package(&args.sandbox, package.clone()).await?;
    let report = call(&sandbox, &args, &package, &unpacked.library, input).await;
    sandbox.shutdown().await;
    show(report?, output)
}

/// Calls the function that is meant.
async fn call(sandbox: &Sandbox, args: &Args, package: &[u8], library: &[u8], input: Bytes) -> anyhow::Result<Report> {
    let description = sandbox.inspect(library).await?;
    let (index, entry) = select(&description, args.function.as_deref())?;
    let call = Call {
        task: TaskId(Uuid::now_v7()),
        attempt: 1,
        function: Arc::new(function(package, index, entry, &args.grant)?),
        encoding: Encoding::Json,
        input,
        timeout: args.timeout.map(|timeout| timeout.0),
        config: Bytes::new(),
    };
    let cancel = CancellationToken::new();
    let spinner = progress::spinner(format!("running {}", entry.name));
    let attempt = sandbox.executor().run(call, cancel.clone());
    tokio::pin!(attempt);
    let report = tokio::select! {
        report = &mut attempt => Ok(report),
        _ = tokio::signal::ctrl_c() => {
            // The report comes once the process is reaped, so nothing is left behind.
            cancel.cancel();
            attempt.await;
            Err(Failure::new(Exit::Interrupted, "interrupted: the function was killed").into())
        }
    };
    spinner.finish_and_clear();
    report
}

/// The function that is meant, with its place in the package.
fn select<'a>(
    description: &'a PackageDescription,
    name: Option<&str>,
) -> Result<(u32, &'a FunctionDescription), Failure> {
    let functions = &description.functions;
    let index = match name {
        Some(name) => functions.iter().position(|function| function.name == name),
        None if functions.len() == 1 => Some(0),
        None => None,
    };
    let found = index.and_then(|index| Some((u32::try_from(index).ok()?, functions.get(index)?)));
    found.ok_or_else(|| {
        let line = match name {
            Some(name) => format!("the package has no function {name:?}"),
            None => "the package has several functions: name one".to_owned(),
        };
        let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        Failure::new(Exit::Usage, line).detail(format!("it has {}", names.join(", ")))
    })
}

/// The function as a server would register it with default settings.
fn function(package: &[u8], index: u32, entry: &FunctionDescription, granted: &[Grant]) -> anyhow::Result<Function> {
    let limits = Limits { grants: grants(entry, granted)?, ..entry.limits.over(&Limits::default()) };
    Ok(Function {
        id: FunctionId(Uuid::new_v4()),
        name: entry.name.clone(),
        version: 1,
        package: package_file::id_of(package),
        index,
        entry: entry.name.clone(),
        limits,
        isolation: entry.isolation.unwrap_or_default(),
        description: serde_json::to_string(entry).context("failed to describe the function")?,
        registered_at_ms: 0,
    })
}

/// What the function asks for, if all of it was granted.
fn grants(entry: &FunctionDescription, granted: &[Grant]) -> Result<Grants, Failure> {
    let asked = entry.grants();
    for (asked, grant, word) in [
        (asked.network, Grant::Network, "network"),
        (asked.processes, Grant::Processes, "processes"),
        (asked.jit, Grant::Jit, "jit"),
    ] {
        if asked && !granted.contains(&grant) {
            let failure = Failure::new(Exit::Usage, format!("the function {} asks for {word} = true", entry.name));
            return Err(failure.hint(format!("`--grant {word}` gives it that on this machine")));
        }
    }
    Ok(asked)
}

fn show(report: Report, output: &Output) -> anyhow::Result<Exit> {
    let succeeded = report.outcome.is_success();
    let outcome = Outcome::without_logs(report.outcome, report.usage);
    if output.is_json() {
        let result = succeeded.then(|| serde_json::from_slice::<Box<RawValue>>(&report.result)).transpose();
        output.value(&json!({
            "result": result.context("the function's result is no JSON")?,
            "outcome": outcome,
            "stdout": String::from_utf8_lossy(&report.logs.stdout),
            "stderr": String::from_utf8_lossy(&report.logs.stderr),
        }))?;
    } else {
        for printed in [&report.logs.stdout, &report.logs.stderr] {
            if !printed.is_empty() {
                output.note(printable(&String::from_utf8_lossy(printed)).trim_end());
            }
        }
        let usage = &outcome.usage;
        let (wall_ms, cpu_ms) = (usage.wall_us as f64 / 1e3, (usage.user_us + usage.system_us) as f64 / 1e3);
        output.note(format!("{wall_ms:.1} ms, {cpu_ms:.1} ms on CPUs, {} MiB", usage.peak_memory_bytes >> 20));
        if succeeded {
            output.bytes(&report.result)?;
        }
    }
    if succeeded { Ok(Exit::Success) } else { Err(Failure::from_outcome(&outcome).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(names: &[&str]) -> PackageDescription {
        let functions = names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        serde_json::from_value(json!({"abi_version": 1, "sdk_version": "0", "functions": functions})).unwrap()
    }

    #[test]
    fn a_name_is_needed_where_there_are_several() {
        assert_eq!(select(&description(&["a"]), None).unwrap().0, 0);
        assert_eq!(select(&description(&["a", "b"]), Some("b")).unwrap().0, 1);
        let failure = select(&description(&["a", "b"]), None).unwrap_err();
        assert_eq!(failure.details, ["it has a, b"]);
        assert!(select(&description(&["a"]), Some("b")).is_err());
    }

    #[test]
    fn what_a_function_asks_for_is_granted_by_whoever_runs_it() {
        let mut asks = description(&["a"]).functions.remove(0);
        assert_eq!(grants(&asks, &[]).unwrap(), Grants::default());
        asks.network = Some(true);
        asks.jit = Some(true);
        for short in [&[][..], &[Grant::Network], &[Grant::Jit, Grant::Processes]] {
            assert!(grants(&asks, short).is_err(), "{short:?}");
        }
        let granted = grants(&asks, &[Grant::Jit, Grant::Network]).unwrap();
        assert_eq!(granted, Grants { network: true, processes: false, jit: true });
    }
}
