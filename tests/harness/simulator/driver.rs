//! What reaches a dispatcher's driver from workers and store, and becomes an input of the core.

use std::time::Duration;

use bulkhead_dispatch::{Arrival, CancelAnswer, Cut, Input, RecoverAnswer, WorkerKind};
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Status;

use super::names::{Key, worker_id};
use super::network::{Connection, Down, Up};
use super::store::{Answer, Op, Row};
use super::world::World;

impl World {
    /// A worker says something to a dispatcher.
    pub(super) fn dispatcher_hears(&mut self, index: usize, connection: Connection, message: Up) {
        let Some(process) = self.worker_behind(connection) else { return };
        let worker = worker_id(process.index, process.life);
        let known = self.dispatchers[index].connections.get(&worker).copied();
        if let Up::Hello(pulls, slots, in_hand) = message {
            if known == Some(connection) {
                // Only the first message of a connection is one.
                return;
            }
            if let Some(old) = self.dispatchers[index].connections.insert(worker, connection) {
                self.close(old, false, true);
            }
            self.send_down(connection, Down::Welcome);
            let kind = if pulls { WorkerKind::Pull } else { WorkerKind::Push };
            return self.tell(index, Input::Hello { worker, kind, slots, in_hand });
        }
        if known != Some(connection) {
            return;
        }
        match message {
            Up::Hello(..) => {}
            Up::Ready(count) => self.tell(index, Input::Ready { worker, count }),
            Up::Resting(resting) => self.tell(index, Input::Resting { worker, resting }),
            Up::Ahead(ahead) => self.tell(index, Input::Ahead { worker, ahead }),
            Up::Heartbeat => self.tell(index, Input::Heartbeat { worker }),
            Up::Goodbye => self.tell(index, Input::Goodbye { worker }),
            // A lie that came true: by now the worker has that attempt, and is believed about its own.
            Up::Ended(task, attempt, None, Outcome::Succeeded) if self.ledger.was_assigned((task, attempt), worker) => {
            }
            Up::Ended(task, attempt, run, outcome) => self.attempt_ended(index, worker, (task, attempt), run, outcome),
            Up::Started(task, attempt) => {
                self.tell(index, Input::Started { worker, task, attempt });
                let dispatcher = &self.dispatchers[index];
                // A worker is believed about its own attempts.
                if !self.plan.tells_at_assign && self.ledger.was_assigned((task, attempt), worker) {
                    let (process, lease) = (dispatcher.process(), dispatcher.lease);
                    self.call(Some(process), lease, Op::Started(task, attempt, worker));
                }
            }
        }
    }

    pub(super) fn connection_broke(&mut self, index: usize, connection: Connection) {
        let connections = &mut self.dispatchers[index].connections;
        let broken = connections.iter().find(|(_, open)| **open == connection).map(|(worker, _)| *worker);
        if let Some(worker) = broken {
            connections.remove(&worker);
            self.close(connection, false, true);
            self.tell(index, Input::Disconnected { worker });
        }
    }

    /// The store answers a dispatcher.
    pub(super) fn dispatcher_answered(&mut self, index: usize, number: u64, op: Op, answer: Answer) {
        match (op, answer) {
            (Op::Claim(_), answer) => {
                if self.dispatchers[index].claim == Some(number) {
                    self.dispatchers[index].claim = None;
                    self.claim_answered(index, answer);
                }
            }
            (Op::Started(task, attempt, _), Answer::Applied(false)) => {
                self.tell(index, Input::Fenced { task, attempt });
            }
            (Op::Started(..), _) => {}
            (Op::Finish { task, attempt, .. } | Op::Requeue { task, attempt, .. }, Answer::Applied(applied)) => {
                self.acknowledge(index, |key| key == (task, attempt));
                self.tell(index, Input::Recorded { task, applied });
            }
            (Op::Finish { task, .. } | Op::Requeue { task, .. }, _) => self.tell(index, Input::RecordFailed { task }),
            (Op::CancelQueued(task), answer) => {
                let Answer::Cancel(answer) = answer else {
                    return self.tell(index, Input::CancelStored { task, answer: CancelAnswer::Failed });
                };
                self.tell(index, Input::CancelStored { task, answer });
            }
            (Op::Recover(task, attempt, _), answer) => {
                let answer = match answer {
                    Answer::Taken(row) => RecoverAnswer::Taken(self.arrival(index, task, &row)),
                    Answer::Owned => RecoverAnswer::Owned,
                    Answer::Stale => RecoverAnswer::Stale,
                    _ => RecoverAnswer::Failed,
                };
                if let RecoverAnswer::Taken(_) = answer {
                    self.dispatchers[index].inputs.insert(task);
                }
                self.tell(index, Input::Recovered { task, attempt, answer });
            }
            (Op::Submit(..) | Op::Cancel(_), _) => {}
        }
    }

    /// The store has the ends of these attempts, or they are not wanted: whoever reported them may forget
    /// them.
    pub(super) fn acknowledge(&mut self, index: usize, is_meant: impl Fn(Key) -> bool) {
        let reports = &self.dispatchers[index].reports;
        let meant: Vec<(Key, WorkerId)> = reports.keys().filter(|(key, _)| is_meant(*key)).copied().collect();
        for (key, worker) in meant {
            self.dispatchers[index].reports.remove(&(key, worker));
            self.say(index, worker, Down::Acknowledged(key.0, key.1));
        }
    }

    fn claim_answered(&mut self, index: usize, answer: Answer) {
        match answer {
            Answer::Claimed(claimed) => {
                for (task, row) in claimed {
                    self.store.delivered(task, self.dispatchers[index].lease);
                    self.dispatchers[index].inputs.insert(task);
                    let arrival = self.arrival(index, task, &row);
                    self.tell(index, Input::Arrived(arrival));
                }
                self.tell(index, Input::Claimed);
            }
            Answer::TakenOver(lease) => {
                self.dispatchers[index].lease = lease;
                self.tell(index, Input::TakenOver);
                self.tell(index, Input::Claimed);
            }
            _ => self.tell(index, Input::ClaimFailed),
        }
    }

    fn arrival(&self, index: usize, task: TaskId, row: &Row) -> Arrival {
        let cut = match &row.outcome {
            _ if row.status == Status::Running => Cut::Lost { worker: row.worker },
            None => Cut::Lost { worker: None },
            Some(Outcome::Cancelled) => Cut::Drained,
            Some(_) => Cut::Failed,
        };
        let clock = self.dispatchers[index].clock(self.now);
        let expires = row.expires.map(|at| clock + Duration::from_millis(at.saturating_sub(self.now)));
        let (function, retry, concurrency) = match self.plan.task(task) {
            Some(plan) => (self.plan.functions[plan.function].id, plan.retry, self.plan.concurrency(plan)),
            None => unreachable!("the store holds planned tasks only"),
        };
        Arrival {
            task,
            function,
            priority: row.priority,
            retry,
            attempt: row.attempt,
            cut,
            spent: row.spent,
            concurrency,
            expires,
        }
    }
}
