//! Pages of tasks, newest first. The ids are UUIDv7, so the order of the table is the order of
//! submission and a page needs no index of its own.

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::task::{Task, TaskState};
use redb::{ReadTransaction, ReadableTable};

use super::database::{Failure, STATES, TASKS};
use super::record::{StateRecord, TaskRecord};
use crate::store::types::{TaskFilter, TaskPage};

/// Most tasks that one page looks at: a filter that matches few tasks gives short pages rather
/// than a long wait.
const MAX_LOOKED_AT: usize = 10_000;

/// Most tasks on one page.
const MAX_LIMIT: usize = 1000;

/// How much earlier than its submission a task's id may have been made, in milliseconds.
const ID_LEAD_MS: u64 = 60_000;

/// The page that `filter` asks for; `live` tells of those that run.
pub(super) fn page(
    transaction: &ReadTransaction,
    live: impl Fn(TaskId) -> Option<TaskState>,
    filter: &TaskFilter,
) -> Result<TaskPage, Failure> {
    let tasks = transaction.open_table(TASKS)?;
    let states = transaction.open_table(STATES)?;
    let before = filter.cursor.map_or([0xFF; 16], |cursor| cursor.0.into_bytes());
    let limit = filter.limit.clamp(1, MAX_LIMIT);
    let mut page = TaskPage { tasks: Vec::new(), cursor: None };
    for (looked_at, entry) in tasks.range(..before)?.rev().enumerate() {
        let (key, bytes) = entry?;
        let id = TaskId(uuid::Uuid::from_bytes(key.value()));
        if is_too_old(id, filter.since_ms) {
            break;
        }
        let TaskRecord { place, mut task, .. } = TaskRecord::decode(bytes.value())?;
        if matches(&task, filter) {
            let state = match (live(id), states.get(key.value())?) {
                (Some(state), _) => state,
                (None, Some(bytes)) => StateRecord::decode(bytes.value())?.unclaimed_state(),
                (None, None) => StateRecord::queued(place).state,
            };
            if filter.status.is_none_or(|status| status == state.status) && (state.dead_letter || !filter.dead_letters)
            {
                task.input.bytes = Vec::new();
                page.tasks.push((task, state));
            }
        }
        if page.tasks.len() == limit || looked_at + 1 == MAX_LOOKED_AT {
            page.cursor = Some(id);
            break;
        }
    }
    // The oldest task of all ends the last page rather than beginning an empty one.
    let oldest = tasks.first()?.map(|(key, _)| key.value());
    page.cursor = page.cursor.filter(|cursor| Some(cursor.0.into_bytes()) != oldest);
    Ok(page)
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
