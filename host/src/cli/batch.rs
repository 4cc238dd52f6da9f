//! `bulkhead invoke --batch`: many calls as tasks, their results a line each, in order.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::limits::MAX_PACKAGE_BYTES;
use futures_util::{StreamExt as _, stream};
use reqwest::{Method, header};
use serde::Serialize;
use serde_json::value::RawValue;

use super::client::{Client, upload};
use super::failure::{Exit, Failure, exit_of_outcome};
use super::output::{Output, printable};
use super::progress;
use crate::gateway::api::{BatchAnswer, NDJSON, Outcome, Problem, ResultResponse, Submit};

/// Most calls in one request: a server's default bound.
const MAX_REQUEST_LINES: usize = 10_000;
/// Most bytes in one request: half of a server's default bound.
const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;
/// Tasks that are waited for at once.
const WAITING: usize = 32;
/// How long one request waits for a task.
const LONG_POLL: Duration = Duration::from_secs(30);

/// One line of the output with --json.
#[derive(Serialize)]
struct Line<'a> {
    /// The call's place among the calls of the file, from 0.
    index: usize,
    /// Its task, unless it was refused.
    task_id: Option<TaskId>,
    /// The function's value.
    result: Option<&'a RawValue>,
    /// How it ended.
    outcome: Option<&'a Outcome>,
    /// Why it was refused.
    problem: Option<&'a Problem>,
}

/// Submits the calls in `path` and, unless told not to wait, shows their results.
pub(super) async fn run(
    client: &Client,
    function: &str,
    path: &Path,
    is_async: bool,
    wait: Option<Duration>,
    output: &Output,
) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let text = read(path)?;
    let requests = requests(function, &text).with_context(|| format!("failed to use {}", path.display()))?;
    let answers = submit(client, requests, output).await?;
    if is_async {
        return show_submitted(&answers, output);
    }
    let tasks: Vec<TaskId> = answers.iter().filter_map(|answer| answer.task_id).collect();
    let deadline = wait.map(|wait| started + wait);
    let worst = tokio::select! {
        shown = show_results(client, &answers, deadline, output) => shown?,
        _ = tokio::signal::ctrl_c() => {
            let mut failure = super::waiting::interrupted(&tasks);
            if let Some(group) = answers.first().map(|answer| &answer.group_id) {
                failure.hint = Some(format!("`bulkhead tasks ls --group {group}` lists them"));
            }
            return Err(failure.into());
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    output.note(format!(
        "{} calls in {seconds:.1} s: {} succeeded, {} failed",
        answers.len(),
        worst.succeeded,
        worst.failed
    ));
    Ok(worst.exit)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let context = || format!("failed to read {}", path.display());
    let mut text = String::new();
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).with_context(context)?)
    };
    source.take(MAX_PACKAGE_BYTES).read_to_string(&mut text).with_context(context)?;
    Ok(text)
}

/// The calls as request bodies within the server's bounds, each with how many calls it has.
fn requests(function: &str, text: &str) -> anyhow::Result<Vec<(usize, Vec<u8>)>> {
    let mut requests = Vec::new();
    let (mut lines, mut body) = (0, Vec::new());
    let calls = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    for (number, line) in calls {
        let args: Box<RawValue> = serde_json::from_str(line)
            .map_err(|error| anyhow::anyhow!("line {} is no JSON, column {}: {error}", number + 1, error.column()))?;
        let call =
            serde_json::to_vec(&Submit { function: function.to_owned(), args: Some(args), ..Submit::default() })?;
        if lines == MAX_REQUEST_LINES || body.len() + call.len() >= MAX_REQUEST_BYTES && lines > 0 {
            requests.push((std::mem::take(&mut lines), std::mem::take(&mut body)));
        }
        lines += 1;
        body.extend_from_slice(&call);
        body.push(b'\n');
    }
    anyhow::ensure!(lines > 0, "it has no line");
    requests.push((lines, body));
    Ok(requests)
}

/// Submits all calls; the answers are numbered through.
async fn submit(client: &Client, requests: Vec<(usize, Vec<u8>)>, output: &Output) -> anyhow::Result<Vec<BatchAnswer>> {
    let total: usize = requests.iter().map(|(lines, _)| lines).sum();
    let bar = progress::steps("submitting", total as u64);
    let mut answers: Vec<BatchAnswer> = Vec::with_capacity(total);
    for (lines, body) in requests {
        let request = client.request(Method::POST, &["v1", "tasks:batch"], &[]).header(header::CONTENT_TYPE, NDJSON);
        let before = answers.len();
        let sent = async { client.body(client.send(upload(request, body.into())).await?).await };
        let text = match sent.await {
            Ok(text) => text,
            Err(error) => {
                if before > 0 {
                    output.note(format!("{before} of {total} calls were submitted before this:"));
                }
                return Err(error);
            }
        };
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let answer: BatchAnswer = serde_json::from_slice(line).context("failed to read the server's answer")?;
            answers.push(BatchAnswer { index: before + answer.index, ..answer });
        }
        let answered = answers.len() - before;
        anyhow::ensure!(answered == lines, "the server answered {answered} of {lines} calls");
        bar.inc(lines as u64);
        if let Some(answer) = answers.last() {
            output.note(format!("group {}", answer.group_id));
        }
    }
    bar.finish_and_clear();
    Ok(answers)
}

fn show_submitted(answers: &[BatchAnswer], output: &Output) -> anyhow::Result<Exit> {
    let mut exit = Exit::Success;
    for answer in answers {
        match (&answer.problem, answer.task_id) {
            _ if output.is_json() => output.value(answer)?,
            (None, Some(task)) => output.line(task)?,
            (problem, _) => {
                output.line("")?;
                note_problem(answer.index, problem.as_ref(), output);
            }
        }
        exit = if answer.problem.is_some() { Exit::Usage } else { exit };
    }
    Ok(exit)
}

/// How a batch went.
struct Summary {
    succeeded: usize,
    failed: usize,
    exit: Exit,
}

async fn show_results(
    client: &Client,
    answers: &[BatchAnswer],
    deadline: Option<Instant>,
    output: &Output,
) -> anyhow::Result<Summary> {
    let bar = progress::steps("waiting", answers.len() as u64);
    let mut results = stream::iter(answers)
        .map(|answer| async move {
            let result = match answer.task_id {
                Some(task) => Some(wait(client, task, deadline).await?),
                None => None,
            };
            anyhow::Ok((answer, result))
        })
        .buffered(WAITING);
    let mut summary = Summary { succeeded: 0, failed: 0, exit: Exit::Success };
    while let Some(result) = results.next().await {
        let (answer, result) = result?;
        let exit = bar.suspend(|| show_one(answer, result.as_ref(), output))?;
        bar.inc(1);
        match exit {
            Exit::Success => summary.succeeded += 1,
            _ => summary.failed += 1,
        }
        summary.exit = worse(summary.exit, exit);
    }
    bar.finish_and_clear();
    Ok(summary)
}

async fn wait(client: &Client, task: TaskId, deadline: Option<Instant>) -> anyhow::Result<ResultResponse> {
    loop {
        let left = deadline.map_or(LONG_POLL, |deadline| deadline.saturating_duration_since(Instant::now()));
        let query = [("wait", format!("{}ms", left.min(LONG_POLL).as_millis()))];
        let answer: ResultResponse = client.get(&["v1", "tasks", &task.to_string(), "result"], &query).await?;
        if answer.status.is_terminal() || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Ok(answer);
        }
    }
}

/// Shows one call; without --json a failed one leaves `null` in its line, so that lines keep their place.
fn show_one(answer: &BatchAnswer, result: Option<&ResultResponse>, output: &Output) -> anyhow::Result<Exit> {
    let outcome = result.and_then(|result| result.outcome.as_ref());
    let value = result.and_then(|result| result.result.as_deref());
    let exit = match (outcome, result) {
        (Some(outcome), _) => exit_of_outcome(&outcome.kind),
        (None, Some(_)) => Exit::TimedOut,
        (None, None) => Exit::Usage,
    };
    if output.is_json() {
        let problem = answer.problem.as_ref();
        output.value(&Line { index: answer.index, task_id: answer.task_id, result: value, outcome, problem })?;
        return Ok(exit);
    }
    output.line(value.map_or("null", RawValue::get))?;
    match (outcome, result) {
        _ if exit == Exit::Success => {}
        (Some(outcome), _) => {
            let line = Failure::from_outcome(outcome).line;
            output.note(format!("call {}: {}", answer.index + 1, printable(&line)));
        }
        (None, Some(result)) => {
            let status = result.status.as_str();
            output.note(format!("call {}: task {} is still {status}", answer.index + 1, result.task_id));
        }
        (None, None) => note_problem(answer.index, answer.problem.as_ref(), output),
    }
    Ok(exit)
}

fn note_problem(index: usize, problem: Option<&Problem>, output: &Output) {
    let detail = problem.map_or("it was refused", |problem| problem.detail.as_str());
    output.note(format!("call {}: {}", index + 1, printable(detail)));
}

/// The exit code of two calls: the platform's failures before those of functions, and those before
/// mistakes and timeouts, which more patience may cure.
fn worse(a: Exit, b: Exit) -> Exit {
    let rank = |exit: &Exit| match exit {
        Exit::Platform => 4,
        Exit::Function => 3,
        Exit::Usage | Exit::Interrupted => 2,
        Exit::TimedOut => 1,
        Exit::Success => 0,
    };
    std::cmp::max_by_key(a, b, rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_becomes_a_call_with_its_arguments_untouched() {
        let requests = requests("f@2", "[1, 2]\n\n{\"b\": 1,  \"a\": 2}\n").unwrap();
        assert_eq!(requests.len(), 1);
        let (lines, body) = &requests[0];
        assert_eq!(*lines, 2);
        let calls: Vec<Submit> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(calls[0].function, "f@2");
        assert_eq!(calls[1].args.as_ref().unwrap().get(), "{\"b\": 1,  \"a\": 2}");
    }

    #[test]
    fn mistakes_name_their_line() {
        assert!(requests("f", "[]\nnope\n").unwrap_err().to_string().contains("line 2"));
        assert!(requests("f", "\n\n").is_err());
    }

    #[test]
    fn requests_keep_within_the_servers_bounds() {
        let at = "[]\n".repeat(MAX_REQUEST_LINES);
        assert_eq!(requests("f", &at).unwrap().len(), 1);
        let sizes: Vec<usize> = requests("f", &format!("{at}[]\n")).unwrap().iter().map(|(lines, _)| *lines).collect();
        assert_eq!(sizes, [MAX_REQUEST_LINES, 1]);
    }

    #[test]
    fn the_worst_call_decides() {
        assert_eq!(worse(Exit::Success, Exit::TimedOut), Exit::TimedOut);
        assert_eq!(worse(Exit::TimedOut, Exit::Function), Exit::Function);
        assert_eq!(worse(Exit::Platform, Exit::Function), Exit::Platform);
    }
}
