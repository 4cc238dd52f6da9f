//! `bulkhead tasks`: calls that were submitted, and what became of them.

use std::io::Write as _;
use std::time::Instant;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::Status;
use clap::Subcommand;
use reqwest::Method;

use super::client::Client;
use super::command::ServerArgs;
use super::failure::{Exit, describe};
use super::output::{Output, Table, Tone, moment, plain};
use super::waiting::{follow, interrupted, show_result};
use crate::gateway::api::{DurationText, GROUP_LABEL, Logs, OutcomeKind, Task, TaskPage, Timestamp};

/// Most tasks that a server gives on one page.
const PAGE_TASKS: usize = 1000;

/// What to do with tasks.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to do.
    #[command(subcommand)]
    command: Command,
    /// Where they were submitted.
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List tasks, the newest first
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Show a task
    #[command(after_help = "Examples:\n  bulkhead tasks get 01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e")]
    Get(TaskArgs),
    /// Wait for the end of a task and print its result
    #[command(after_help = "Examples:\n  bulkhead tasks wait 01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e --timeout 30s")]
    Wait {
        /// The task.
        #[command(flatten)]
        task: TaskArgs,
        /// Wait no longer than this; the task goes on, the exit code is 124.
        #[arg(long, value_name = "DURATION")]
        timeout: Option<DurationText>,
    },
    /// Print what the latest ended attempt of a task wrote on stdout and stderr
    #[command(after_help = "Examples:\n  bulkhead tasks logs 01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e")]
    Logs(TaskArgs),
    /// Cancel a task: queued, it never runs; running, its process is killed
    #[command(after_help = "Examples:\n  bulkhead tasks cancel 01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e")]
    Cancel(TaskArgs),
    /// Print the result of a task that has ended
    #[command(after_help = "Examples:\n  bulkhead tasks result 01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e > result.json")]
    Result(TaskArgs),
}

/// Which task.
#[derive(Debug, clap::Args)]
struct TaskArgs {
    /// The task's id.
    #[arg(value_name = "TASK ID")]
    id: TaskId,
}

/// Which tasks to list.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bulkhead tasks ls --status failed --since 1h
  bulkhead tasks ls --function resize --limit 500
  bulkhead tasks ls --label team=blue --json | jq -r '.[].task_id'")]
struct ListArgs {
    /// Only these: queued, running, completed or failed.
    #[arg(long, value_parser = status)]
    status: Option<Status>,
    /// Which of them.
    #[command(flatten)]
    filter: FilterArgs,
}

/// Which of the tasks in question to list.
#[derive(Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// Only tasks of the function with this name.
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// Only tasks submitted since: a time (RFC 3339), or how long ago (1h).
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only tasks with this label; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Only tasks of this batch.
    #[arg(long, value_name = "GROUP ID")]
    group: Option<String>,
    /// Most tasks to list.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

fn status(text: &str) -> Result<Status, String> {
    let all = [Status::Queued, Status::Running, Status::Completed, Status::Failed];
    let found = all.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "use queued, running, completed or failed".to_owned())
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("write it as key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Lists, shows, follows or cancels tasks.
pub(super) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let client = Client::new(&args.server)?;
    match args.command {
        Command::Ls(ListArgs { status, filter }) => {
            let status = status.map(|status| ("status".to_owned(), status.as_str().to_owned()));
            list(&client, &["v1", "tasks"], status, &filter, output).await?;
        }
        Command::Get(TaskArgs { id }) => show(&get(&client, id).await?, output)?,
        Command::Wait { task: TaskArgs { id }, timeout } => {
            let deadline = timeout.map(|timeout| Instant::now() + timeout.0);
            return tokio::select! {
                followed = follow(&client, id, deadline) => show_result(&client, &followed?, output).await,
                _ = tokio::signal::ctrl_c() => Err(interrupted(&[id]).into()),
            };
        }
        Command::Logs(TaskArgs { id }) => logs(&client, id, output).await?,
        Command::Cancel(TaskArgs { id }) => {
            let task: Task =
                client.read(client.request(Method::DELETE, &["v1", "tasks", &id.to_string()], &[])).await?;
            if output.is_json() {
                output.value(&task)?
            } else {
                output.line(format_args!("cancelled {id}"))?
            };
        }
        Command::Result(TaskArgs { id }) => return show_result(&client, &get(&client, id).await?, output).await,
    }
    Ok(Exit::Success)
}

async fn get(client: &Client, id: TaskId) -> anyhow::Result<Task> {
    client.get(&["v1", "tasks", &id.to_string()], &[]).await
}

/// Shows the tasks of a listing, page by page, as many as asked for.
pub(super) async fn list(
    client: &Client,
    path: &[&str],
    status: Option<(String, String)>,
    args: &FilterArgs,
    output: &Output,
) -> anyhow::Result<()> {
    let mut query: Vec<(String, String)> = status.into_iter().collect();
    let mut add = |key: &str, value: Option<String>| query.extend(value.map(|value| (key.to_owned(), value)));
    add("function", args.function.clone());
    add("since", args.since.clone());
    for (key, value) in &args.label {
        add(&format!("label.{key}"), Some(value.clone()));
    }
    add(&format!("label.{GROUP_LABEL}"), args.group.clone());

    let mut tasks: Vec<Task> = Vec::new();
    let mut cursor: Option<TaskId> = None;
    while tasks.len() < args.limit {
        let mut page: Vec<(&str, String)> = query.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        page.push(("limit", (args.limit - tasks.len()).min(PAGE_TASKS).to_string()));
        page.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
        let found: TaskPage = client.get(path, &page).await?;
        tasks.extend(found.tasks);
        cursor = found.cursor;
        if cursor.is_none() {
            break;
        }
    }
    if output.is_json() {
        return output.value(&tasks);
    }
    let mut table = Table::new(&["TASK ID", "FUNCTION", "STATUS", "OUTCOME", "SUBMITTED", "WALL TIME"]);
    for task in &tasks {
        table.row([
            plain(task.task_id),
            plain(&task.function),
            (task.status.as_str().to_owned(), tone(task.status)),
            plain(outcome(task)),
            moment(task.submitted_at),
            plain(wall_time(task)),
        ]);
    }
    output.table(&table)?;
    if cursor.is_some() {
        output.note(format!("older tasks were left out after {} (--limit)", tasks.len()));
    }
    Ok(())
}

fn tone(status: Status) -> Tone {
    match status {
        Status::Queued | Status::Running => Tone::Busy,
        Status::Completed => Tone::Good,
        Status::Failed => Tone::Bad,
    }
}

/// The kind of outcome by its name in the documentation.
fn outcome(task: &Task) -> String {
    let kind = task.outcome.as_ref().and_then(|outcome| serde_json::to_value(&outcome.kind).ok());
    kind.and_then(|kind| kind.get("kind")?.as_str().map(str::to_owned)).unwrap_or_default()
}

fn wall_time(task: &Task) -> String {
    let wall_us = task.outcome.as_ref().map(|outcome| outcome.usage.wall_us).filter(|wall_us| *wall_us > 0);
    wall_us.map(|wall_us| format!("{:.1} ms", wall_us as f64 / 1e3)).unwrap_or_default()
}

fn show(task: &Task, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.value(task);
    }
    let mut table = Table::new(&["FACT", "VALUE"]);
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            table.row([plain(name), plain(value)]);
        }
    };
    let text = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string()).unwrap_or_default();
    fact("task id", task.task_id.to_string());
    fact("status", task.status.as_str().to_owned());
    fact("outcome", outcome(task));
    let failed = task.outcome.as_ref().filter(|outcome| outcome.kind != OutcomeKind::Succeeded);
    fact("reason", failed.map(|outcome| describe(&outcome.kind)).unwrap_or_default());
    fact("function", format!("{} ({})", task.function, task.function_id));
    fact("attempt", task.attempt.to_string());
    fact("worker", task.worker_id.map(|worker| worker.to_string()).unwrap_or_default());
    fact(
        "lost attempts",
        task.spent
            .map(|spent| spent.losses + spent.returns)
            .filter(|lost| *lost > 0)
            .map(|lost| lost.to_string())
            .unwrap_or_default(),
    );
    fact("dead letter", if task.dead_letter { "yes: it crashed too often".to_owned() } else { String::new() });
    fact("submitted", task.submitted_at.to_string());
    fact("not before", text(task.not_before));
    fact("started", text(task.started_at));
    fact("ended", text(task.ended_at));
    fact("wall time", wall_time(task));
    if let Some(outcome) = &task.outcome {
        fact("peak memory", format!("{} MiB", outcome.usage.peak_memory_bytes >> 20));
    }
    if let Some(progress) = &task.progress {
        fact("progress", format!("{:.0} % {}", progress.fraction * 100.0, progress.message));
    }
    for (key, value) in &task.labels {
        fact("label", format!("{key}={value}"));
    }
    output.table(&table)
}

/// What the function wrote goes where the function wrote it.
async fn logs(client: &Client, id: TaskId, output: &Output) -> anyhow::Result<()> {
    let logs: Logs = client.get(&["v1", "tasks", &id.to_string(), "logs"], &[]).await?;
    if output.is_json() {
        return output.value(&logs);
    }
    if !logs.stdout.is_empty() {
        output.bytes(logs.stdout.as_bytes())?;
    }
    std::io::stderr().write_all(logs.stderr.as_bytes())?;
    if logs.attempt == 0 {
        output.note("no attempt has ended yet");
    } else if logs.truncated {
        output.note("(some was cut at the limit for logs)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_refused() {
        assert_eq!(status("failed"), Ok(Status::Failed));
        assert_eq!(status("RUNNING"), Ok(Status::Running));
        assert!(status("done").is_err());
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(label("a").is_err() && label("=b").is_err());
    }
}
