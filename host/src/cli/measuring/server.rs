//! The front of what is measured: calls and batches over HTTP, as any client makes them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bulkhead_protocol::id::{FunctionId, TaskId};
use bulkhead_protocol::task::Status;
use reqwest::{Method, StatusCode, header};
use serde::Deserialize;

use super::functions::{Function, Packages};
use crate::bench::load::Target;
use crate::cli::client::Client;
use crate::cli::command::ServerArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::register::register;
use crate::gateway::api::{self, BatchAnswer, GROUP_LABEL, Task, TaskPage};

/// Tasks of one request of a batch: within what every server takes.
const BATCH_TASKS: usize = 1000;
/// Batches whose tasks may wait in the queue while a store is filled: well within what every server takes.
const MAX_BATCHES_AHEAD: usize = 20;
/// Tasks on a page of a listing.
const PAGE_TASKS: usize = 1000;
/// How long one request waits for the end of a task; asked again after that.
const WAIT: &str = "20s";
/// How long a call may take before it counts as failed.
const CALL_WITHIN: Duration = Duration::from_secs(60);

/// A server with the functions of the evaluation.
#[derive(Clone)]
pub(in crate::cli) struct Server {
    client: Client,
    /// Ids by name: others may have registered functions of the same names.
    functions: Arc<HashMap<String, FunctionId>>,
}

/// What came of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct BatchEnd {
    /// Tasks that were submitted.
    pub(in crate::cli) tasks: u64,
    /// Tasks that gave a result.
    pub(in crate::cli) succeeded: u64,
    /// When the first was submitted; milliseconds since the Unix epoch, by the server's clock.
    pub(in crate::cli) first_ms: u64,
    /// When the last ended.
    pub(in crate::cli) last_ms: u64,
}

/// What a call gave.
pub(in crate::cli) struct Called {
    /// Its task, where the server names it.
    pub(in crate::cli) task: Option<String>,
    /// The result.
    pub(in crate::cli) body: bytes::Bytes,
}

#[derive(Deserialize)]
struct Ready {
    slots: u32,
}

impl Server {
    /// A server at an address; asks it nothing yet.
    pub(in crate::cli) fn new(url: &str, key: Option<String>) -> anyhow::Result<Self> {
        let client = Client::new(&ServerArgs { server: url.to_owned(), key })?;
        Ok(Self { client, functions: Arc::default() })
    }

    /// The slots of all its workers.
    pub(in crate::cli) async fn slots(&self) -> anyhow::Result<u32> {
        let ready: Ready = self.client.get(&["readyz"], &[]).await?;
        Ok(ready.slots)
    }

    /// The same with the functions of the evaluation, registered now.
    pub(in crate::cli) async fn with_functions(self, packages: &Packages) -> anyhow::Result<Self> {
        let mut functions = HashMap::new();
        for package in packages.all() {
            functions.extend(self.register(package.clone()).await?);
        }
        Ok(Self { functions: Arc::new(functions), ..self })
    }

    /// Registers a package; gives its functions by name.
    pub(in crate::cli) async fn register(&self, package: Vec<u8>) -> anyhow::Result<HashMap<String, FunctionId>> {
        let registered = register(&self.client, package, None, None).await?;
        Ok(registered.functions.into_iter().map(|function| (function.name, function.function_id)).collect())
    }

    /// Calls of a function for the load generator.
    pub(in crate::cli) fn target(&self, function: &Function) -> anyhow::Result<Target> {
        self.target_of(&self.id(function)?, function)
    }

    /// The same for one of that name that was registered by itself.
    pub(in crate::cli) fn target_of(&self, id: &str, function: &Function) -> anyhow::Result<Target> {
        let base = self.client.base();
        let address = base.strip_prefix("http://").and_then(|address| address.parse().ok());
        let address = address.with_context(|| format!("{base} is no address that can be loaded"))?;
        Ok(Target::post(address, &format!("/v1/functions/{id}/invoke"), function.content_type, &function.input))
    }

    fn id(&self, function: &Function) -> anyhow::Result<String> {
        let id = self.functions.get(function.name).context("a function of the evaluation is not registered")?;
        Ok(id.to_string())
    }

    /// Calls a function and waits for its result.
    ///
    /// # Errors
    /// No result, whatever the reason.
    pub(in crate::cli) async fn call(&self, function: &Function) -> anyhow::Result<Called> {
        self.call_with(function, None).await
    }

    /// The same, stored in the queue even where the server could run it at once.
    pub(in crate::cli) async fn call_queued(&self, function: &Function) -> anyhow::Result<Called> {
        self.call_with(function, Some(uuid::Uuid::now_v7().to_string())).await
    }

    async fn call_with(&self, function: &Function, idempotency_key: Option<String>) -> anyhow::Result<Called> {
        let id = self.id(function)?;
        let request = self.client.request(Method::POST, &["v1", "functions", &id, "invoke"], &[]);
        let request = request.header(header::CONTENT_TYPE, function.content_type).body(function.input.clone());
        let request = match idempotency_key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        let response = self.client.send(request.timeout(CALL_WITHIN)).await?;
        anyhow::ensure!(response.status() == StatusCode::OK, "the call goes on: {}", response.status());
        let task = response.headers().get(api::TASK_ID_HEADER).and_then(|id| id.to_str().ok()).map(str::to_owned);
        Ok(Called { task, body: self.client.body(response).await? })
    }

    /// A task, once it has ended.
    pub(in crate::cli) async fn task(&self, id: &str) -> anyhow::Result<Task> {
        self.client.get(&["v1", "tasks", id], &[]).await
    }

    /// Submits so many tasks as fast as the server takes them, and waits until all have ended.
    ///
    /// # Errors
    /// A server that refuses a task or goes away. A task that fails is counted.
    pub(in crate::cli) async fn batch(&self, function: &Function, tasks: u32) -> anyhow::Result<BatchEnd> {
        let line = function.submit_line(&self.id(function)?);
        let mut groups = Vec::new();
        let mut left = tasks as usize;
        while left > 0 {
            let count = left.min(BATCH_TASKS);
            groups.push(self.submit(&line, count).await?);
            left -= count;
        }
        let mut end = BatchEnd { first_ms: u64::MAX, ..BatchEnd::default() };
        // The last first: when it has ended, nearly all have.
        for group in groups.iter().rev() {
            self.wait_for(group.last).await?;
            self.collect(group, &mut end).await?;
        }
        Ok(end)
    }

    /// Has so many tasks run that nobody asks for again: submits them, and waits until all have ended.
    pub(in crate::cli) async fn fill(&self, function: &Function, tasks: u32) -> anyhow::Result<()> {
        let line = function.submit_line(&self.id(function)?);
        let mut waiting = VecDeque::new();
        let mut left = tasks as usize;
        while left > 0 {
            let count = left.min(BATCH_TASKS);
            waiting.push_back(self.submit(&line, count).await?.last);
            left -= count;
            if waiting.len() >= MAX_BATCHES_AHEAD
                && let Some(last) = waiting.pop_front()
            {
                self.wait_for(last).await?;
            }
        }
        for last in waiting {
            self.wait_for(last).await?;
        }
        Ok(())
    }

    async fn submit(&self, line: &str, count: usize) -> anyhow::Result<Group> {
        let request = self.client.request(Method::POST, &["v1", "tasks:batch"], &[]);
        let request = request.header(header::CONTENT_TYPE, api::NDJSON).body(line.repeat(count));
        let response = self.client.send(request).await?;
        let body = self.client.body(response).await?;
        let mut group = None;
        for answer in body.split(|byte| *byte == b'\n').filter(|answer| !answer.is_empty()) {
            let answer: BatchAnswer = serde_json::from_slice(answer).context("failed to read the answer of a batch")?;
            let Some(last) = answer.task_id else {
                let problem = answer.problem.unwrap_or_default();
                return Err(Failure::from_problem(problem).into());
            };
            group = Some(Group { id: answer.group_id, last, tasks: answer.index + 1 });
        }
        let group = group.context("the server gave no answer to a batch")?;
        anyhow::ensure!(group.tasks == count, "the server took {} of {count} tasks", group.tasks);
        Ok(group)
    }

    /// Waits for the end of a task.
    async fn wait_for(&self, id: TaskId) -> anyhow::Result<()> {
        loop {
            let path = ["v1", "tasks", &id.to_string(), "result"];
            let answer: api::ResultResponse = self.client.get(&path, &[("wait", WAIT.to_owned())]).await?;
            if answer.status.is_terminal() {
                return Ok(());
            }
        }
    }

    /// Counts how the tasks of a group ended, once all have.
    async fn collect(&self, group: &Group, end: &mut BatchEnd) -> anyhow::Result<()> {
        let label = format!("label.{GROUP_LABEL}");
        let mut cursor: Option<TaskId> = None;
        let mut found = 0;
        while found < group.tasks {
            let mut query = vec![(label.as_str(), group.id.clone()), ("limit", PAGE_TASKS.to_string())];
            query.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
            let page: TaskPage = self.client.get(&["v1", "tasks"], &query).await?;
            for mut task in page.tasks {
                if !task.status.is_terminal() {
                    self.wait_for(task.task_id).await?;
                    task = self.task(&task.task_id.to_string()).await?;
                }
                found += 1;
                end.tasks += 1;
                end.succeeded += u64::from(task.status == Status::Completed);
                end.first_ms = end.first_ms.min(task.submitted_at.unix_ms);
                end.last_ms = end.last_ms.max(task.ended_at.map_or(0, |at| at.unix_ms));
            }
            cursor = page.cursor;
            if cursor.is_none() && found < group.tasks {
                let line = format!("the server lost tasks: it has {found} of {} of a batch", group.tasks);
                return Err(Failure::new(Exit::Platform, line).into());
            }
        }
        Ok(())
    }
}

/// Tasks of one request.
struct Group {
    id: String,
    /// The last of them.
    last: TaskId,
    tasks: usize,
}
