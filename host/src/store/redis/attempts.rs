//! What becomes of attempts: they begin, end, are put back. Under load thousands of such writes come in a
//! second, each small, so they are written in groups: whatever is there goes as one script while the
//! callers wait, and what comes meanwhile is the next group. No timer holds an end back.
//!
//! A start alone waits for company for a moment, `LINGER`: mostly the end of the same attempt, with which it
//! is one change of the task. It goes at the latest before any other write of its task, so that one
//! task's writes keep their order.

mod group;
mod queue;

use std::sync::Arc;

use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::{Logs, Outcome, Report};
use bulkhead_protocol::task::{Attempt, Spent};

use self::group::{Answer, Kind, Write};
pub(super) use self::queue::Queue;
use super::desk::cancelled;
use super::link::Link;
use super::record::{encode, unreadable};
use super::scripts::ATTEMPTS;
use super::shared::{BULK_BYTES, Shared};
use crate::store::types::{Error, Transition};

impl Shared {
    pub(in crate::store) async fn started(
        &self,
        id: TaskId,
        attempt: Attempt,
        worker: WorkerId,
        at_ms: u64,
    ) -> Result<Transition, Error> {
        let me = self.desk.now();
        let write = Write::new(Kind::Start, id).text(&me.id).text(me.fresh());
        let write = write.text(id).text(attempt).text(worker).text(at_ms);
        match self.write(write).await? {
            Answer::Applied => {
                self.desk.enter(&me.id);
                Ok(Transition::Applied)
            }
            Answer::Taken => {
                self.taken_for_dead(&me.id);
                Ok(Transition::Stale)
            }
            Answer::Stale => Ok(Transition::Stale),
        }
    }

    pub(in crate::store) async fn finish(
        &self,
        id: TaskId,
        attempt: Attempt,
        report: Arc<Report>,
        dead_letter: bool,
        at_ms: u64,
    ) -> Result<Transition, Error> {
        let (outcome, usage) = (encode(&report.outcome)?, encode(&report.usage)?);
        let logs = if report.logs == Logs::default() { Vec::new() } else { encode(&report.logs)? };
        let is_success = report.outcome.is_success();
        let write = Write::new(Kind::End, id).text(id).text(attempt).text(at_ms);
        let write = write.text(if is_success { "C" } else { "F" }).bytes(outcome).bytes(usage);
        let write = if is_success { write.result_of(report) } else { write.bytes(Vec::new()) };
        self.write(write.bytes(logs).text(if dead_letter { "1" } else { "" })).await.map(transition)
    }

    pub(in crate::store) async fn requeue(
        &self,
        id: TaskId,
        attempt: Attempt,
        outcome: &Outcome,
        spent: Spent,
        not_before_ms: u64,
    ) -> Result<Transition, Error> {
        let write = Write::new(Kind::Requeue, id).text(id).text(attempt);
        let write = write.bytes(encode(outcome)?).bytes(encode(&spent)?).text(not_before_ms);
        self.write(write).await.map(transition)
    }

    /// Makes a write, with others. A large one goes by itself on the connection for such.
    async fn write(&self, write: Write) -> Result<Answer, Error> {
        self.check_open()?;
        if write.size() < BULK_BYTES {
            return self.attempts.put(write).await;
        }
        let _room = self.room(write.size()).await?;
        let (write, answer) = write.awaited();
        // Its start would be stale behind it.
        let group = self.attempts.take_start(write.task()).into_iter().chain([write]).collect();
        self.commit(group, &self.bulk).await;
        answer.await
    }

    /// Makes the writes that wait, group by group; does not end.
    pub(super) async fn write_attempts(&self) {
        loop {
            let group = self.attempts.next().await;
            self.commit(group, &self.link).await;
        }
    }

    /// Makes a group of writes and answers those who wait.
    async fn commit(&self, group: Vec<group::Awaited>, link: &Link) {
        let answers = self.run_group(&group, link).await;
        group::answer(group, answers);
    }

    async fn run_group(&self, group: &[group::Awaited], link: &Link) -> Result<String, Error> {
        let cancelled = cancelled()?;
        let call = ATTEMPTS.call().text(self.lease.as_millis()).text(self.result_ttl_ms).bytes(&cancelled);
        let answers: String = link.run(group.iter().fold(call, |call, write| write.append_to(call))).await?;
        if answers.len() == group.len() { Ok(answers) } else { Err(unreadable("a group's answer has another length")) }
    }
}

fn transition(answer: Answer) -> Transition {
    if answer == Answer::Applied { Transition::Applied } else { Transition::Stale }
}
