//! `bulkhead invoke`: a call on a server, waited for or not.

use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bulkhead_protocol::limits::MAX_INPUT_BYTES;
use bulkhead_protocol::task::Status;
use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{json, value::RawValue};

use super::batch;
use super::client::{Client, upload};
use super::command::ServerArgs;
use super::failure::{Exit, Failure};
use super::output::Output;
use super::progress;
use super::waiting::{follow, interrupted, show_result};
use crate::gateway::api::{DurationText, Submitted, TASK_ID_HEADER};

/// How long a call is waited for inside its own request before it becomes a task that is followed.
/// Only then is its id known, which Ctrl-C needs; calls that are shorter never touch the store.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// What to call.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Call a function on a server.\n\n\
        The result goes to stdout and the task's id to stderr. Without --async and --wait it waits for the end.",
    after_help = "\
Examples:
  bulkhead invoke greet --data '{\"name\": \"Ada\"}'
  bulkhead invoke resize:prod --data-file call.json
  bulkhead invoke resize@3 --data '[1, 2]' --wait 30s
  bulkhead invoke report --async                          prints the task's id
  bulkhead invoke resize --batch calls.jsonl > results.jsonl
  cat call.json | bulkhead invoke resize --data-file -"
)]
pub(super) struct Args {
    /// The function: name, name@version, name:alias or a function id.
    #[arg(value_name = "REF")]
    function: String,
    /// The arguments of the call.
    #[command(flatten)]
    data: DataArgs,
    /// Call it once for each line of a file of JSON arguments; results come a line each, in order.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "data_file", "timeout"])]
    batch: Option<PathBuf>,
    /// Do not wait: print the task's id.
    #[arg(long = "async", conflicts_with = "wait")]
    is_async: bool,
    /// Wait no longer than this; the task goes on.
    #[arg(long, value_name = "DURATION")]
    wait: Option<DurationText>,
    /// Wall time of the call; the function's own limit when absent.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<DurationText>,
    /// Where to call it.
    #[command(flatten)]
    server: ServerArgs,
}

/// The arguments of one call.
#[derive(Debug, clap::Args)]
pub(super) struct DataArgs {
    /// Arguments as JSON: an object by parameter name, or an array by position.
    #[arg(short, long, value_name = "JSON", conflicts_with = "data_file", allow_hyphen_values = true)]
    data: Option<String>,
    /// Read the arguments from a file; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    data_file: Option<PathBuf>,
}

impl DataArgs {
    /// The input of the call: JSON, checked here so that a mistake shows its place.
    pub(super) fn read(&self) -> anyhow::Result<Bytes> {
        let (text, origin) = match (&self.data, &self.data_file) {
            (Some(data), _) => (data.clone().into_bytes(), "--data".to_owned()),
            (None, Some(path)) if path.as_os_str() == "-" => {
                let mut text = Vec::new();
                let stdin = std::io::stdin().lock();
                stdin.take(MAX_INPUT_BYTES + 1).read_to_end(&mut text).context("failed to read stdin")?;
                (text, "stdin".to_owned())
            }
            (None, Some(path)) => {
                let text = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
                (text, path.display().to_string())
            }
            (None, None) => return Ok(Bytes::from_static(b"{}")),
        };
        let bytes = text.len() as u64;
        if bytes > MAX_INPUT_BYTES {
            let line = format!("{origin} has more than {MAX_INPUT_BYTES} bytes, the limit of an input");
            return Err(Failure::new(Exit::Usage, line).into());
        }
        serde_json::from_slice::<&RawValue>(&text).map_err(|error| {
            let failure = Failure::new(Exit::Usage, format!("{origin} is no JSON: {error}"));
            failure.hint("write texts in double quotes, and the whole in single quotes: --data '{\"name\": \"Ada\"}'")
        })?;
        Ok(text.into())
    }
}

/// Calls a function and shows what became of it.
pub(super) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let client = Client::new(&args.server)?;
    if let Some(path) = &args.batch {
        let wait = args.wait.map(|wait| wait.0);
        return batch::run(&client, &args.function, path, args.is_async, wait, output).await;
    }
    let input = args.data.read()?;
    let deadline = args.wait.map(|wait| Instant::now() + wait.0);
    let prefer = if args.is_async {
        "respond-async".to_owned()
    } else {
        format!("wait={}", args.wait.map_or(FIRST_WAIT, |wait| wait.0.min(FIRST_WAIT)).as_secs())
    };
    let query: Vec<_> = args.timeout.iter().map(|timeout| ("timeout", timeout.to_string())).collect();
    let request = client
        .request(Method::POST, &["v1", "functions", &args.function, "invoke"], &query)
        .header(header::CONTENT_TYPE, "application/json")
        .header("prefer", prefer);

    let spinner = progress::spinner(format!("calling {}", args.function));
    let response = tokio::select! {
        response = client.send(upload(request, input)) => response,
        _ = tokio::signal::ctrl_c() => {
            let failure = Failure::new(Exit::Interrupted, "interrupted: the call ends with this connection");
            return Err(failure.into());
        }
    };
    spinner.finish_and_clear();
    let response = response?;
    if response.status() != StatusCode::ACCEPTED {
        return show_answer(&client, response, output).await;
    }
    let submitted: Submitted =
        serde_json::from_slice(&client.body(response).await?).context("failed to read the answer")?;
    if args.is_async {
        if output.is_json() {
            output.value(&submitted)?
        } else {
            output.line(submitted.task_id)?
        };
        return Ok(Exit::Success);
    }
    output.note(format!("task {}", submitted.task_id));
    tokio::select! {
        followed = follow(&client, submitted.task_id, deadline) => show_result(&client, &followed?, output).await,
        _ = tokio::signal::ctrl_c() => Err(interrupted(&[submitted.task_id]).into()),
    }
}

/// Shows the answer to a call that ended within its request.
async fn show_answer(client: &Client, response: Response, output: &Output) -> anyhow::Result<Exit> {
    let task = response.headers().get(TASK_ID_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let result = client.body(response).await?;
    if output.is_json() {
        let result: &RawValue = serde_json::from_slice(&result).context("the function's result is no JSON")?;
        output.value(&json!({"task_id": task, "status": Status::Completed, "result": result}))?;
        return Ok(Exit::Success);
    }
    output.bytes(&result)?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> anyhow::Result<Bytes> {
        DataArgs { data: Some(text.to_owned()), data_file: None }.read()
    }

    #[test]
    fn arguments_go_out_as_they_were_written() {
        assert_eq!(data(r#"{"b": 1,  "a": 2.0}"#).unwrap(), r#"{"b": 1,  "a": 2.0}"#);
        assert_eq!(DataArgs { data: None, data_file: None }.read().unwrap(), "{}");
    }

    #[test]
    fn what_is_no_json_is_shown_with_its_place() {
        let error = data("{name: Ada}").unwrap_err();
        assert!(error.to_string().contains("line 1 column 2"), "{error}");
        let missing = DataArgs { data: None, data_file: Some("/nowhere/x.json".into()) };
        assert!(missing.read().unwrap_err().to_string().contains("/nowhere/x.json"));
    }
}
