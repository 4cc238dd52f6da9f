//! Following a task to its end.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use bulkhead_protocol::id::TaskId;

use super::client::Client;
use super::failure::{Exit, Failure};
use super::output::{Output, printable};
use super::progress;
use crate::gateway::api::{ResultResponse, Task};

/// How long one request waits when nobody watches: below the idle limits of common proxies.
const LONG_POLL: Duration = Duration::from_secs(30);
/// How long one request waits while a person watches the task's progress.
const WATCHED_POLL: Duration = Duration::from_secs(1);

/// Waits for the end of a task.
///
/// # Errors
/// A failure that ends in [`Exit::TimedOut`] when `deadline` passes first, and those of the server.
pub(super) async fn follow(client: &Client, id: TaskId, deadline: Option<Instant>) -> anyhow::Result<Task> {
    let longest = if std::io::stderr().is_terminal() { WATCHED_POLL } else { LONG_POLL };
    let spinner = progress::spinner("waiting");
    let followed = loop {
        let left = deadline.map_or(longest, |deadline| deadline.saturating_duration_since(Instant::now()));
        let wait = format!("{}ms", left.min(longest).as_millis());
        let asked = client.get::<Task>(&["v1", "tasks", &id.to_string()], &[("wait", wait)]).await;
        let task = match asked {
            Ok(task) => task,
            Err(error) => break Err(error),
        };
        if task.status.is_terminal() {
            break Ok(task);
        }
        spinner.set_message(match &task.progress {
            Some(progress) => format!("{:.0} % {}", progress.fraction * 100.0, printable(&progress.message)),
            None => task.status.as_str().to_lowercase(),
        });
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            let failure = Failure::new(Exit::TimedOut, format!("task {id} is still {}", task.status.as_str()));
            break Err(failure.hint(format!("`bulkhead tasks wait {id}` waits for its end")).into());
        }
    };
    spinner.finish_and_clear();
    followed
}

/// Shows the result of a task that has ended on stdout; a failed one is an error.
pub(super) async fn show_result(client: &Client, task: &Task, output: &Output) -> anyhow::Result<Exit> {
    let answer: ResultResponse = client.get(&["v1", "tasks", &task.task_id.to_string(), "result"], &[]).await?;
    if output.is_json() {
        output.value(&answer)?;
    } else if let Some(result) = &answer.result {
        output.line(result.get())?;
    }
    match &answer.outcome {
        Some(outcome) => match super::failure::exit_of_outcome(&outcome.kind) {
            Exit::Success => Ok(Exit::Success),
            _ => Err(Failure::from_outcome(outcome)
                .hint(format!("`bulkhead tasks logs {}` shows all it printed", task.task_id))
                .into()),
        },
        None => {
            let line = format!("task {} has not ended: it is {}", task.task_id, answer.status.as_str());
            Err(Failure::new(Exit::Usage, line)
                .hint(format!("`bulkhead tasks wait {}` waits for its end", task.task_id))
                .into())
        }
    }
}

/// What Ctrl-C leaves behind: tasks that go on.
pub(super) fn interrupted(tasks: &[TaskId]) -> Failure {
    match tasks {
        [id] => Failure::new(Exit::Interrupted, format!("interrupted: task {id} goes on"))
            .hint(format!("`bulkhead tasks wait {id}` waits for its end, `bulkhead tasks cancel {id}` ends it")),
        tasks => Failure::new(Exit::Interrupted, format!("interrupted: {} tasks go on", tasks.len()))
            .hint("`bulkhead tasks ls` lists them"),
    }
}
