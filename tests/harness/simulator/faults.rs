//! What breaks in a schedule.

use bulkhead_protocol::task::Attempt;

use super::event::{AtDispatcher, AtWorker, Event};
use super::names::Ms;
use super::world::World;

/// Something that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// A worker's connection breaks; each side notices or not.
    Disconnect,
    /// Nothing passes between a worker and its dispatcher, one way or both ways.
    Partition,
    /// A worker dies.
    WorkerKill,
    /// A worker hangs and goes on later.
    WorkerHang,
    /// A worker is told to leave.
    WorkerDrain,
    /// A worker says what is not true.
    Forgery,
    /// A dispatcher dies.
    DispatcherKill,
    /// A dispatcher hangs and goes on later, perhaps after its lease.
    DispatcherHang,
    /// A dispatcher is told to end.
    DispatcherDrain,
    /// A dispatcher's clock jumps forward.
    ClockJump,
    /// The store's clock jumps forward: leases run out.
    StoreClockJump,
    /// The store does not answer.
    StoreAway,
}

impl FaultKind {
    /// Whether it hits a dispatcher rather than a worker.
    pub(super) fn hits_dispatcher(self) -> bool {
        matches!(self, Self::DispatcherKill | Self::DispatcherHang | Self::DispatcherDrain | Self::ClockJump)
    }
}

/// Something that breaks, whom it hits and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What.
    pub(super) kind: FaultKind,
    /// Which worker or dispatcher.
    pub(super) target: usize,
    /// For how long.
    pub(super) length: Ms,
    /// Decides the details.
    pub(super) flags: u64,
}

impl World {
    pub(super) fn strike(&mut self, fault: Fault) {
        let Fault { kind, target, length, flags } = fault;
        // Whatever breaks is whole again soon after faults are over.
        let length = length.min((self.plan.heal_at + 500).saturating_sub(self.now)).max(1);
        let (first, second) = (flags & 1 == 1, flags & 2 == 2);
        self.trace.note(self.now, || format!("fault: {kind:?} {target} for {length} ms, {first} {second}"));
        match kind {
            FaultKind::Disconnect => self.break_connections(target, first, second),
            FaultKind::Partition => self.part(target, first || !second, second, self.now + length),
            FaultKind::WorkerKill => self.stop_worker(target, first, length),
            FaultKind::WorkerHang => self.hang_worker(target, length),
            FaultKind::WorkerDrain if first => {
                self.events.at(self.now, Event::Worker(self.worker_process(target), AtWorker::Term));
            }
            FaultKind::WorkerDrain => {
                let worker = self.worker_name(target);
                let home = self.plan.workers[target].home;
                let process = self.dispatchers[home].process();
                self.events.at(self.now, Event::Dispatcher(process, AtDispatcher::DrainWorker(worker)));
            }
            FaultKind::Forgery => {
                let task = self.plan.tasks[self.random.index(self.plan.tasks.len())].id;
                let attempt: Attempt = self.ledger.newest(task).max(1) + u32::from(flags & 12 == 0);
                self.forge(target, task, attempt, first);
            }
            FaultKind::DispatcherKill => self.kill_dispatcher(target, length),
            FaultKind::DispatcherHang => self.hang_dispatcher(target, length),
            FaultKind::DispatcherDrain => {
                let grace = if first { length.min(5_000) } else { 0 };
                let process = self.dispatchers[target].process();
                self.events.at(self.now, Event::Dispatcher(process, AtDispatcher::Drain(grace)));
            }
            FaultKind::ClockJump => self.jump_clock(target, length),
            FaultKind::StoreClockJump => {
                self.store.ahead += length;
                self.nudge();
            }
            FaultKind::StoreAway => {
                self.calls.away_until = self.calls.away_until.max(self.now + length);
                self.events.at(self.now + length + 1, Event::Nudge);
            }
        }
    }

    /// From now on nothing breaks, and what is broken is mended.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.trace.note(self.now, || "all faults are over".to_owned());
        self.calls.away_until = self.now;
        for index in 0..self.workers.len() {
            self.resume_worker(self.worker_process(index));
            self.start_worker(index);
        }
        for index in 0..self.dispatchers.len() {
            self.resume_dispatcher(self.dispatchers[index].process());
            self.start_dispatcher(index);
        }
        self.heal_network();
        self.nudge();
    }
}
