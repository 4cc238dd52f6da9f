//! `bulkhead register`: a package to a server.

use std::path::PathBuf;

use bulkhead_protocol::function::{InvalidName, check_name};
use reqwest::{Method, header};

use super::client::{Client, upload};
use super::command::ServerArgs;
use super::failure::Exit;
use super::output::{Output, Table, Tone, plain};
use super::packaging::load_or_build;
use super::sandbox::SandboxArgs;
use crate::gateway::api::RegisteredPackage;

/// What to register.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Register the functions of a package with a server.\n\n\
        A crate is built first. What is registered already is left as it is; a changed function gets the next version.",
    after_help = "\
Examples:
  bulkhead register target/bulkhead/resize.bhpkg
  bulkhead register resize --alias prod        build the crate, then point resize:prod at it
  bulkhead register resize.bhpkg --name shrink"
)]
pub(super) struct Args {
    /// A package file, or the folder of a crate to build.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Point this alias at what is registered.
    #[arg(long, value_parser = name)]
    alias: Option<String>,
    /// Register only this function; or the only one, under this name.
    #[arg(long, value_parser = name)]
    name: Option<String>,
    /// Where to register it.
    #[command(flatten)]
    server: ServerArgs,
    /// Where to read the functions of a crate.
    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// A name, checked before anything is built or sent.
pub(super) fn name(text: &str) -> Result<String, InvalidName> {
    check_name(text).map(|()| text.to_owned())
}

/// Uploads a package and shows what it became.
pub(super) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let client = Client::new(&args.server)?;
    let package = load_or_build(&args.path, &args.sandbox).await?;
    let registered = register(&client, package, args.name.as_deref(), args.alias.as_deref()).await?;
    if output.is_json() {
        output.value(&registered)?;
        return Ok(Exit::Success);
    }
    let mut table = Table::new(&["FUNCTION", "VERSION", "ALIAS", "FUNCTION ID", ""]);
    for function in &registered.functions {
        let news = if function.created { ("new".to_owned(), Tone::Good) } else { plain("was there already") };
        table.row([
            plain(&function.name),
            plain(function.version),
            plain(function.alias.as_deref().unwrap_or_default()),
            plain(function.function_id),
            news,
        ]);
    }
    output.table(&table)?;
    output.note(format!("package {}", registered.package_id));
    if let Some(function) = registered.functions.first() {
        output.note(format!("call it with `bulkhead invoke {} --data JSON`", function.name));
    }
    Ok(Exit::Success)
}

/// Uploads a package.
pub(super) async fn register(
    client: &Client,
    package: Vec<u8>,
    name: Option<&str>,
    alias: Option<&str>,
) -> anyhow::Result<RegisteredPackage> {
    let query: Vec<(&str, String)> = [("name", name), ("alias", alias)]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?.to_owned())))
        .collect();
    let request = client.request(Method::POST, &["v1", "functions"], &query);
    let request = upload(request.header(header::CONTENT_TYPE, "application/octet-stream"), package.into());
    client.read(request).await
}
