//! `bulkhead build`: crates into packages.

use std::path::{Path, PathBuf};

use bulkhead_protocol::package::id_of;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::output::{Output, Table, plain};
use super::packaging::{Built, build_crate, shown, shown_bytes};
use super::sandbox::{Sandbox, SandboxArgs};
use crate::package::{build, crates};

/// What to build.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Compile crates into packages.\n\n\
        The crate is compiled in release, its library checked (architecture, needed libraries, undefined symbols, glibc), \
        its functions are read in a sandbox, and the package is written to target/bulkhead/NAME.bhpkg.",
    after_help = "\
Examples:
  bulkhead build                      the crate in this folder
  bulkhead build resize --out r.bhpkg
  bulkhead build --all                every function crate of this workspace
  bulkhead build functions --all      every function crate in the sub-folders"
)]
pub(super) struct Args {
    /// Folder of the crate, or of the crates with --all.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Build every crate here that depends on bulkhead-sdk and makes a cdylib.
    #[arg(long)]
    all: bool,
    /// Where to write the package: a file, or a folder with --all.
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Where to read the functions.
    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// Builds, writes and lists packages.
pub(super) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let sources = if args.all { crates::find_all(&args.path)? } else { vec![crates::find(&args.path)?] };
    let sandbox = Sandbox::start(&args.sandbox).await?;
    let mut packages = Vec::new();
    let mut failed = Vec::new();
    for source in sources {
        let name = source.name.clone();
        // One crate that does not compile must not hide what the others say.
        match build_crate(source, &sandbox).await.and_then(|built| write(built, &args)) {
            Ok(package) => packages.push(package),
            Err(error) if !args.all => return Err(error),
            Err(error) => {
                output.failure(&error);
                failed.push(name);
            }
        }
    }
    sandbox.shutdown().await;
    show(&packages, output)?;
    if failed.is_empty() {
        return Ok(Exit::Success);
    }
    let line = format!("{} of {} crates failed: {}", failed.len(), failed.len() + packages.len(), failed.join(", "));
    Err(Failure::new(Exit::Usage, line).into())
}

/// A package that was written.
struct Written {
    /// What it was built to.
    built: Built,
    /// Where it is.
    path: PathBuf,
}

fn write(built: Built, args: &Args) -> anyhow::Result<Written> {
    let file_name = format!("{}.bhpkg", built.source.name);
    let path = match &args.out {
        Some(out) if args.all || out.is_dir() => out.join(file_name),
        Some(out) => out.clone(),
        None => built.source.package.clone(),
    };
    build::write(&path, &built.package)?;
    Ok(Written { built, path })
}

fn show(packages: &[Written], output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.value(&packages.iter().map(as_json).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["PACKAGE", "FUNCTIONS", "SIZE", "GLIBC", "FILE"]);
    for Written { built, path } in packages {
        let functions: Vec<&str> = built.description.functions.iter().map(|function| function.name.as_str()).collect();
        table.row([
            plain(&built.source.name),
            plain(functions.join(", ")),
            plain(shown_bytes(built.package.len() as u64)),
            plain(built.facts.glibc.as_deref().unwrap_or("none")),
            plain(shown(path).display()),
        ]);
    }
    output.table(&table)?;
    if let [Written { path, .. }] = packages {
        output.note(format!("register it with `bulkhead register {}`", shown(path).display()));
    }
    Ok(())
}

fn as_json(Written { built, path }: &Written) -> Value {
    json!({
        "name": built.source.name,
        "version": built.source.version,
        "package_id": id_of(&built.package),
        "path": absolute(path),
        "bytes": built.package.len(),
        "library": built.facts,
        "functions": built.description.functions,
    })
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
