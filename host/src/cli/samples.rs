//! `bulkhead up --samples`: builds, registers and calls the sample functions over HTTP, as a
//! newcomer would, and shows what came of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::{Method, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::Client;
use super::command::ServerArgs;
use super::output::{Output, Table, Tone, plain, printable};
use super::packaging::build_crate;
use super::register::register;
use super::sandbox::{Sandbox, SandboxArgs};
use crate::package::crates;

/// The list of example calls, in the folder of the samples.
const LIST: &str = "samples.json";
/// Most characters of a call or a result in the table.
const MAX_SHOWN_CHARS: usize = 48;

/// One example call.
#[derive(Clone, Debug, Deserialize)]
struct Sample {
    /// The crate's folder.
    #[serde(rename = "crate")]
    folder: String,
    /// The function to call.
    function: String,
    /// Its arguments.
    args: Box<RawValue>,
    /// What the call shows.
    #[serde(default)]
    note: String,
}

/// Registers the sample functions with the server at `base_url` and calls each as its example says.
///
/// # Errors
/// The samples are not there, a crate cannot be built, or the server refuses one. A call that fails
/// is no error: some samples show just that.
pub(super) async fn run(base_url: &str, sandbox: &SandboxArgs) -> anyhow::Result<()> {
    let output = Output::new(false);
    let folder = samples_folder()?;
    let samples = read_list(&folder.join(LIST))?;
    let client = Client::new(&ServerArgs { server: base_url.to_owned(), key: None })?;
    let versions = register_all(&client, sandbox, &folder, &samples, &output).await?;

    let mut table = Table::new(&["FUNCTION", "VERSION", "CALL", "RESULT", "TIME", ""]);
    for sample in &samples {
        let (result, time) = call(&client, sample).await?;
        let version = versions.get(&sample.function).map(u32::to_string).unwrap_or_default();
        let (result, tone) = match result {
            Ok(result) => (result, Tone::Plain),
            Err(failure) => (failure, Tone::Bad),
        };
        table.row([
            plain(&sample.function),
            plain(version),
            plain(shorten(sample.args.get())),
            (shorten(&result), tone),
            plain(format!("{:.1} ms", time.as_secs_f64() * 1e3)),
            plain(&sample.note),
        ]);
    }
    output.line("")?;
    output.table(&table)?;
    output.line(what_next(client.base(), &samples))
}

/// Builds each crate once and registers it; returns the functions with their versions.
async fn register_all(
    client: &Client,
    sandbox: &SandboxArgs,
    folder: &Path,
    samples: &[Sample],
    output: &Output,
) -> anyhow::Result<BTreeMap<String, u32>> {
    let sandbox = Sandbox::start(sandbox).await?;
    let mut folders: Vec<&str> = samples.iter().map(|sample| sample.folder.as_str()).collect();
    folders.sort_unstable();
    folders.dedup();
    let mut versions = BTreeMap::new();
    for (index, name) in folders.iter().enumerate() {
        output.note(format!("building {name} ({} of {})", index + 1, folders.len()));
        let source = crates::find(&folder.join(name))?;
        let built = build_crate(source, &sandbox).await?;
        let registered = register(client, built.package, None, None).await?;
        versions.extend(registered.functions.into_iter().map(|function| (function.name, function.version)));
    }
    sandbox.shutdown().await;
    Ok(versions)
}

/// Calls one sample; the time is what a client sees.
async fn call(client: &Client, sample: &Sample) -> anyhow::Result<(Result<String, String>, Duration)> {
    let request = client
        .request(Method::POST, &["v1", "functions", &sample.function, "invoke"], &[])
        .header(header::CONTENT_TYPE, "application/json")
        .body(sample.args.get().to_owned());
    let started = Instant::now();
    let answer = async { client.body(client.send(request).await?).await }.await;
    let time = started.elapsed();
    let result = match answer {
        Ok(body) => Ok(String::from_utf8_lossy(&body).into_owned()),
        Err(error) => Err(error.to_string()),
    };
    Ok((result, time))
}

/// The folder of the samples: that of the checkout which this program was built from, or the one
/// in the current folder.
fn samples_folder() -> anyhow::Result<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample-functions");
    let found =
        [checkout.clone(), PathBuf::from("sample-functions")].into_iter().find(|folder| folder.join(LIST).is_file());
    found.with_context(|| {
        format!("the samples belong to the source checkout; there is no {}", checkout.join(LIST).display())
    })
}

fn read_list(path: &Path) -> anyhow::Result<Vec<Sample>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("failed to read {}", path.display()))
}

fn shorten(text: &str) -> String {
    let text = printable(text.trim());
    if text.chars().count() <= MAX_SHOWN_CHARS {
        return text;
    }
    text.chars().take(MAX_SHOWN_CHARS - 1).chain(['…']).collect()
}

/// Lines to copy into another terminal.
fn what_next(base: &str, samples: &[Sample]) -> String {
    let Some(Sample { function, args, .. }) = samples.first() else { return String::new() };
    // Quoted for a shell: a single quote ends the text, stands escaped, and begins it again.
    let args = args.get().replace('\'', r"'\''");
    format!(
        "\nTry next, in another terminal:\n\n  \
         curl -H 'content-type: application/json' -d '{args}' {base}/v1/functions/{function}/invoke\n  \
         curl {base}/v1/functions\n  \
         bulkhead functions describe {function} --server {base}\n  \
         bulkhead invoke {function} --data '{args}' --server {base}\n  \
         bulkhead new greet && bulkhead register greet --server {base}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_shortened_to_the_limit() {
        assert_eq!(shorten(" [1]\n"), "[1]");
        let at = "é".repeat(MAX_SHOWN_CHARS);
        assert_eq!(shorten(&at), at);
        let beyond = shorten(&"é".repeat(MAX_SHOWN_CHARS + 1));
        assert_eq!(beyond.chars().count(), MAX_SHOWN_CHARS);
        assert!(beyond.ends_with('…'));
    }

    #[test]
    fn lines_to_copy_are_quoted_for_a_shell() {
        let list = r#"[{"crate": "hello", "function": "hello", "args": {"who": "O'Neill"}, "note": "greets"}]"#;
        let samples: Vec<Sample> = serde_json::from_str(list).unwrap();
        let text = what_next("http://h:1", &samples);
        assert!(text.contains(r#"-d '{"who": "O'\''Neill"}' http://h:1/v1/functions/hello/invoke"#), "{text}");
    }

    #[test]
    fn the_list_of_the_checkout_can_be_read_and_names_crates_that_are_there() {
        let Ok(folder) = samples_folder() else {
            println!("skipped: this is no source checkout");
            return;
        };
        for sample in read_list(&folder.join(LIST)).unwrap() {
            assert!(folder.join(&sample.folder).join("Cargo.toml").is_file(), "{}", sample.folder);
        }
    }
}
