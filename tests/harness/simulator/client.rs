//! Clients and the gateway: they submit tasks and want some of them to end.

use bulkhead_dispatch::CancelAnswer;
use bulkhead_protocol::id::TaskId;

use super::event::{AtDispatcher, Event};
use super::store::{Answer, Op};
use super::world::World;

impl World {
    /// A client submits a task; the gateway stores it before it says so.
    pub(super) fn submit(&mut self, number: u32) {
        let Some(task) = usize::try_from(number).ok().and_then(|number| self.plan.tasks.get(number)) else { return };
        let expires = task.lives.map(|lives| self.now + lives);
        let op = Op::Submit(task.id, task.priority, expires);
        self.call(None, 0, op);
    }

    /// A client wants a task to end: it asks a dispatcher where that is the same process as the gateway,
    /// else the store.
    pub(super) fn cancel(&mut self, task: TaskId) {
        let index = self.random.index(self.dispatchers.len());
        if self.random.chance(400) {
            let process = self.dispatchers[index].process();
            return self.events.at(self.now, Event::Dispatcher(process, AtDispatcher::Cancel(task)));
        }
        self.call(None, 0, Op::Cancel(task));
    }

    /// The store answers the gateway.
    pub(super) fn gateway_heard(&mut self, op: &Op, answer: &Answer) {
        if let (Op::Cancel(task), Answer::Cancel(CancelAnswer::Running)) = (op, answer) {
            // The word goes to all dispatchers, and is missed by who does not listen; the wish stays with
            // the task.
            for index in 0..self.dispatchers.len() {
                let dispatcher = &self.dispatchers[index];
                if dispatcher.is_up() && dispatcher.mirror.holds(*task) && self.random.chance(800) {
                    let process = dispatcher.process();
                    self.events.at(self.now + 1, Event::Dispatcher(process, AtDispatcher::Cancel(*task)));
                }
            }
        }
    }
}
