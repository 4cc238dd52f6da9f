//! `bulkhead check`: all that registration checks, without a server.

use std::path::PathBuf;

use bulkhead_protocol::function::{FunctionDescription, PackageDescription};
use bulkhead_protocol::package::{self as package_file, MAGIC, Manifest};
use serde_json::json;

use super::failure::Exit;
use super::output::{Output, Table, plain};
use super::packaging::{read_bounded, shown_bytes};
use super::sandbox::{Sandbox, SandboxArgs};
use crate::package::{LibraryFacts, check_library};

/// What to check.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Check a package or a library without registering it.\n\n\
        Everything that registration checks: digests, architecture, needed libraries, undefined symbols, glibc, and its \
        functions as it tells them in a sandbox.",
    after_help = "\
Examples:
  bulkhead check target/bulkhead/resize.bhpkg
  bulkhead check target/release/libresize.so
  bulkhead check resize.bhpkg --json | jq .functions"
)]
pub(super) struct Args {
    /// A package (.bhpkg) or a library (.so).
    path: PathBuf,
    /// Where to read the functions.
    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// Checks a file and shows what it holds.
pub(super) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let bytes = read_bounded(&args.path)?;
    let (manifest, library) = if bytes.starts_with(&MAGIC) {
        let package = package_file::unpack(&bytes)?;
        (Some(package.manifest), package.library)
    } else {
        (None, bytes)
    };
    let facts = check_library(&library)?;
    let sandbox = Sandbox::start(&args.sandbox).await?;
    let inspected = sandbox.inspect(&library).await;
    sandbox.shutdown().await;
    let description = inspected?;
    if let Some(manifest) = &manifest {
        let told: Option<PackageDescription> = serde_json::from_str(&manifest.description).ok();
        anyhow::ensure!(
            told.as_ref() == Some(&description),
            "the package's manifest describes other functions than its library has: rebuild it"
        );
    }
    show(manifest.as_ref(), &facts, &description, output)?;
    Ok(Exit::Success)
}

fn show(
    manifest: Option<&Manifest>,
    facts: &LibraryFacts,
    description: &PackageDescription,
    output: &Output,
) -> anyhow::Result<()> {
    if output.is_json() {
        return output.value(&json!({
            "name": manifest.map(|manifest| &manifest.name),
            "version": manifest.map(|manifest| &manifest.version),
            "library": facts,
            "abi_version": description.abi_version,
            "sdk_version": description.sdk_version,
            "functions": description.functions,
        }));
    }
    let mut table = Table::new(&["FACT", "VALUE"]);
    if let Some(manifest) = manifest {
        table.row([plain("package"), plain(format!("{} {}", manifest.name, manifest.version))]);
    }
    table.row([plain("architecture"), plain(&facts.arch)]);
    table.row([plain("library"), plain(shown_bytes(facts.bytes))]);
    table.row([plain("needs"), plain(facts.needed.join(", "))]);
    table.row([
        plain("glibc"),
        plain(facts.glibc.as_deref().map_or("none".to_owned(), |glibc| format!("{glibc} or newer"))),
    ]);
    table.row([plain("imports"), plain(format!("{} symbols, all defined here", facts.imports))]);
    table.row([plain("ABI, SDK"), plain(format!("{}, {}", description.abi_version, description.sdk_version))]);
    output.table(&table)?;
    output.line("")?;
    output.table(&functions_table(&description.functions))
}

/// Functions as a package describes them.
fn functions_table(functions: &[FunctionDescription]) -> Table {
    let mut table = Table::new(&["FUNCTION", "PARAMETERS", "ISOLATION", "DESCRIPTION"]);
    for function in functions {
        let parameters = function.parameters.iter().map(|parameter| {
            let mark = if parameter.required { "" } else { "?" };
            format!("{}{mark}", parameter.name)
        });
        table.row([
            plain(&function.name),
            plain(parameters.collect::<Vec<_>>().join(", ")),
            plain(function.isolation.unwrap_or_default().as_str()),
            plain(function.doc.lines().next().unwrap_or_default()),
        ]);
    }
    table
}
