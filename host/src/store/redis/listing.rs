//! Pages of tasks, newest first, and what goes when its time is over. The ids are UUIDv7, so one index by
//! id is in the order of submission.

use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::{Task, TaskState};
use redis::Value;

use super::record::{STATE_FIELDS, bytes, decode, state};
use super::scripts::EXPIRE;
use super::shared::Shared;
use crate::store::types::{Error, IDEMPOTENCY_WINDOW_MS, TOMBSTONE_MS, TaskFilter, TaskPage};

/// Most tasks that one page looks at: a filter that matches few tasks gives short pages rather than a long
/// wait.
const MAX_LOOKED_AT: usize = 10_000;

/// Most tasks that are read at once.
const READ_AT_ONCE: usize = 250;

/// Most tasks on one page.
const MAX_LIMIT: usize = 1000;

/// How much earlier than its submission a task's id may have been made, in milliseconds.
const ID_LEAD_MS: u64 = 60_000;

/// Most tasks, tombstones and keys each that one script deletes.
const EXPIRED_AT_ONCE: usize = 500;

impl Shared {
    pub(in crate::store) async fn tasks(&self, filter: &TaskFilter) -> Result<TaskPage, Error> {
        self.check_open()?;
        // Dead letters are few among many: they have an index of their own.
        let index = self.key(if filter.dead_letters { "dead" } else { "tasks" });
        let limit = filter.limit.clamp(1, MAX_LIMIT);
        let mut page = TaskPage { tasks: Vec::new(), cursor: None };
        let (mut before, mut looked_at) = (filter.cursor, 0);
        'page: loop {
            let count = READ_AT_ONCE.min(MAX_LOOKED_AT - looked_at);
            let ids = self.ids_before(&index, before, count).await?;
            for (id, values) in self.read_all(&ids).await? {
                looked_at += 1;
                before = Some(id);
                if is_too_old(id, filter.since_ms) {
                    break 'page;
                }
                if let Some(found) = found(&values, filter)? {
                    page.tasks.push(found);
                }
                if page.tasks.len() == limit || looked_at == MAX_LOOKED_AT {
                    page.cursor = Some(id);
                    break 'page;
                }
            }
            if ids.len() < count {
                break;
            }
        }
        // The oldest task of all ends the last page rather than beginning an empty one.
        if page.cursor.is_some() && self.ids_before(&index, page.cursor, 1).await?.is_empty() {
            page.cursor = None;
        }
        Ok(page)
    }

    async fn ids_before(&self, index: &str, before: Option<TaskId>, count: usize) -> Result<Vec<TaskId>, Error> {
        let before = before.map_or_else(|| "+".to_owned(), |id| format!("({id}"));
        let mut command = redis::cmd("ZREVRANGEBYLEX");
        command.arg(index).arg(before).arg("-").arg("LIMIT").arg(0).arg(count);
        let ids: Vec<String> = self.link.ask(&command).await?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    async fn read_all(&self, ids: &[TaskId]) -> Result<Vec<(TaskId, Vec<Value>)>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for id in ids {
            commands.cmd("HMGET").arg(self.task_key(*id)).arg(&STATE_FIELDS).arg("task");
        }
        let values = self.link.ask_all(&commands).await?;
        Ok(ids.iter().copied().zip(values).collect())
    }

    pub(in crate::store) async fn is_expired(&self, id: TaskId) -> Result<bool, Error> {
        self.check_open()?;
        let mut command = redis::cmd("ZSCORE");
        command.arg(self.key("tombstones")).arg(id.to_string());
        Ok(self.link.ask::<Option<String>>(&command).await?.is_some())
    }

    pub(in crate::store) async fn expire(&self, now_ms: u64, ttl: Duration) -> Result<usize, Error> {
        let before = |age_ms: u64| now_ms.checked_sub(age_ms);
        let mut total = 0;
        loop {
            let ended_before = u64::try_from(ttl.as_millis()).ok().and_then(before);
            let call = EXPIRE.call().text(now_ms).text(EXPIRED_AT_ONCE).optional(ended_before);
            let call = call.optional(before(TOMBSTONE_MS)).optional(before(IDEMPOTENCY_WINDOW_MS));
            let (expired, more): (usize, u8) = self.run(call).await?;
            total += expired;
            if more == 0 {
                break;
            }
        }
        self.sweep_packages().await?;
        Ok(total)
    }
}

/// A task as the page shows it, when the filter wants it and it is still there.
fn found(values: &[Value], filter: &TaskFilter) -> Result<Option<(Task, TaskState)>, Error> {
    let Some(state) = state(values)? else { return Ok(None) };
    if filter.status.is_some_and(|status| status != state.status) || (filter.dead_letters && !state.dead_letter) {
        return Ok(None);
    }
    let mut task: Task = decode(bytes(values.last()).unwrap_or_default())?;
    task.input.bytes = Vec::new();
    Ok(matches(&task, filter).then_some((task, state)))
}

fn matches(task: &Task, filter: &TaskFilter) -> bool {
    let labelled = |(key, value): &(String, String)| task.options.labels.get(key) == Some(value);
    filter.function_name.as_ref().is_none_or(|name| *name == task.function_name)
        && filter.since_ms.is_none_or(|since| task.submitted_at_ms >= since)
        && filter.labels.iter().all(labelled)
}

/// Whether this task and all before it were submitted earlier than asked for.
fn is_too_old(id: TaskId, since_ms: Option<u64>) -> bool {
    let (Some(since_ms), Some(made_ms)) = (since_ms, id.unix_ms()) else { return false };
    made_ms.saturating_add(ID_LEAD_MS) < since_ms
}
