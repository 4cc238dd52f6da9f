//! Connections between workers and their dispatchers. Each keeps its messages in order and loses none
//! until it breaks, as the link of the product; only in adversarial schedules single messages are
//! lost, repeated or overtaken.

use std::collections::BTreeMap;

use bulkhead_protocol::id::TaskId;
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Attempt;

use super::event::{AtDispatcher, AtWorker, Event, Process};
use super::ledger::RunId;
use super::names::{Key, Ms};
use super::world::World;

/// Names a connection.
pub(super) type Connection = u64;

/// From a worker to its dispatcher.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Up {
    /// First of a connection: whether it pulls, its slots, and what it has in hand.
    Hello(bool, u32, Vec<Key>),
    /// It takes up to so many tasks.
    Ready(u32),
    /// So many may wait at it.
    Ahead(u32),
    /// It takes nothing for now, or takes tasks again.
    Resting(bool),
    /// It lives.
    Heartbeat,
    /// An attempt began.
    Started(TaskId, Attempt),
    /// An attempt ended; the run is none where nothing ran.
    Ended(TaskId, Attempt, Option<RunId>, Outcome),
    /// It leaves when it has nothing left.
    Goodbye,
}

/// From a dispatcher to a worker.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Down {
    /// The answer to a hello.
    Welcome,
    /// Run an attempt.
    Assign(TaskId, Attempt),
    /// Kill an attempt.
    Cancel(TaskId, Attempt),
    /// Forget an attempt.
    Acknowledged(TaskId, Attempt),
    /// The dispatcher lives.
    Heartbeat,
    /// Finish and leave.
    Drain,
    /// It was silent for too long.
    Evicted,
    /// It may go.
    Dismissed,
}

/// What is under way on one direction of a connection.
#[derive(Clone, Debug)]
enum Frame {
    /// To the dispatcher.
    Up(Up),
    /// To the worker.
    Down(Down),
    /// The sender closed the connection.
    End,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Lane {
    /// When the newest message arrives: the next does not overtake it.
    last: Ms,
    /// What a partition holds back, in order.
    held: Vec<Frame>,
    /// Whether the receiver has closed its end.
    is_closed: bool,
}

/// A connection.
#[derive(Debug)]
struct Link {
    /// Who connected.
    worker: Process,
    /// To whom.
    dispatcher: Process,
    /// To the dispatcher.
    up: Lane,
    /// To the worker.
    down: Lane,
    /// Whether it lost, repeated or reordered something: it is closed when all heals.
    is_tainted: bool,
}

/// All connections, and what keeps their messages from arriving.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// The connections that have an open end.
    links: BTreeMap<Connection, Link>,
    /// Names them.
    made: Connection,
    /// By worker: until when nothing reaches the dispatcher, and until when nothing comes from there.
    partitions: BTreeMap<usize, (Ms, Ms)>,
}

impl World {
    /// Whether a partition keeps a worker's messages (true) or its dispatcher's (false) from arriving.
    fn is_parted(&self, worker: usize, up: bool) -> bool {
        let until = self.network.partitions.get(&worker).map_or(0, |(ups, downs)| if up { *ups } else { *downs });
        self.now < until
    }

    /// A worker connects; none when it cannot.
    pub(super) fn connect(&mut self, worker: Process, to: usize) -> Option<Connection> {
        let dispatcher = self.dispatchers.get(to).filter(|dispatcher| dispatcher.is_up())?.process();
        if self.is_parted(worker.index, true) || self.is_parted(worker.index, false) {
            return None;
        }
        self.network.made += 1;
        let link = Link { worker, dispatcher, up: Lane::default(), down: Lane::default(), is_tainted: false };
        self.network.links.insert(self.network.made, link);
        Some(self.network.made)
    }

    /// The worker at the other end of a connection.
    pub(super) fn worker_behind(&self, connection: Connection) -> Option<Process> {
        self.network.links.get(&connection).map(|link| link.worker)
    }

    /// A worker says something.
    pub(super) fn send_up(&mut self, connection: Connection, message: Up) {
        self.send(connection, Frame::Up(message));
    }

    /// A dispatcher says something.
    pub(super) fn send_down(&mut self, connection: Connection, message: Down) {
        self.send(connection, Frame::Down(message));
    }

    fn send(&mut self, connection: Connection, frame: Frame) {
        if self.plan.adversarial && !self.healed && self.spoil(connection, &frame) {
            return;
        }
        let is_up = matches!(frame, Frame::Up(_));
        self.deliver(connection, is_up, frame, true);
    }

    /// Loses, repeats or delays a message on purpose; true when it goes no further.
    fn spoil(&mut self, connection: Connection, frame: &Frame) -> bool {
        let weather = &self.plan.weather;
        let (drops, repeats, reorders) = (weather.drops, weather.repeats, weather.reorders);
        let is_up = matches!(frame, Frame::Up(_));
        let fate = self.random.below(1000);
        let fate = u32::try_from(fate).unwrap_or(0);
        if fate < drops + repeats + reorders
            && let Some(link) = self.network.links.get_mut(&connection)
        {
            link.is_tainted = true;
        }
        if fate < drops {
            return true;
        }
        if fate < drops + repeats {
            self.deliver(connection, is_up, frame.clone(), false);
            return false;
        }
        if fate < drops + repeats + reorders {
            self.deliver(connection, is_up, frame.clone(), false);
            return true;
        }
        false
    }

    /// Has a message arrive, after all before it when it is to keep the order.
    fn deliver(&mut self, connection: Connection, is_up: bool, frame: Frame, in_order: bool) {
        let Some(link) = self.network.links.get(&connection) else { return };
        let parted = self.is_parted(link.worker.index, is_up);
        let way = self.random.between(0, self.plan.latency) + if in_order { 0 } else { self.random.between(0, 3_000) };
        let now = self.now;
        let Some(link) = self.network.links.get_mut(&connection) else { return };
        let (worker, dispatcher) = (link.worker, link.dispatcher);
        let lane = if is_up { &mut link.up } else { &mut link.down };
        if lane.is_closed {
            // Whoever sends to a closed end is told so.
            if !matches!(frame, Frame::End) {
                self.tell_broken(connection, is_up);
            }
            return;
        }
        if parted {
            lane.held.push(frame);
            return;
        }
        let at = if in_order { lane.last.max(now + way) } else { now + way };
        if in_order {
            lane.last = at;
        }
        let event = match frame {
            Frame::Up(message) => Event::Dispatcher(dispatcher, AtDispatcher::Message(connection, message)),
            Frame::Down(message) => Event::Worker(worker, AtWorker::Message(connection, message)),
            Frame::End if is_up => Event::Dispatcher(dispatcher, AtDispatcher::Broken(connection)),
            Frame::End => Event::Worker(worker, AtWorker::Broken(connection)),
        };
        self.events.at(at, event);
    }

    /// Tells one end that the other is closed; `to_worker` says which.
    fn tell_broken(&mut self, connection: Connection, to_worker: bool) {
        self.deliver(connection, !to_worker, Frame::End, true);
    }

    /// One end is closed: what is under way to it is lost. The other end is told, unless it is not `noticed`.
    pub(super) fn close(&mut self, connection: Connection, by_worker: bool, noticed: bool) {
        let Some(link) = self.network.links.get_mut(&connection) else { return };
        let lane = if by_worker { &mut link.down } else { &mut link.up };
        lane.is_closed = true;
        lane.held.clear();
        if link.up.is_closed && link.down.is_closed {
            self.network.links.remove(&connection);
        } else if noticed {
            self.deliver(connection, by_worker, Frame::End, true);
        }
    }

    /// Both ends of a worker's connections break; each end notices or does not.
    pub(super) fn break_connections(&mut self, worker: usize, worker_notices: bool, dispatcher_notices: bool) {
        let broken: Vec<(Connection, Process, Process)> = (self.network.links.iter())
            .filter(|(_, link)| link.worker.index == worker)
            .map(|(connection, link)| (*connection, link.worker, link.dispatcher))
            .collect();
        for (connection, worker, dispatcher) in broken {
            if let Some(link) = self.network.links.get_mut(&connection) {
                (link.up.is_closed, link.down.is_closed) = (true, true);
            }
            if worker_notices {
                self.events.at(self.now + 1, Event::Worker(worker, AtWorker::Broken(connection)));
            }
            if dispatcher_notices {
                self.events.at(self.now + 1, Event::Dispatcher(dispatcher, AtDispatcher::Broken(connection)));
            }
        }
    }

    /// Nothing passes between a worker and its dispatcher, one way or both ways, for a while.
    pub(super) fn part(&mut self, worker: usize, up: bool, down: bool, until: Ms) {
        let entry = self.network.partitions.entry(worker).or_default();
        if up {
            entry.0 = entry.0.max(until);
        }
        if down {
            entry.1 = entry.1.max(until);
        }
        self.events.at(until, Event::Mend(worker));
    }

    /// What a partition held back goes its way, if it is over.
    pub(super) fn mend(&mut self, worker: usize) {
        for is_up in [true, false] {
            if self.is_parted(worker, is_up) {
                continue;
            }
            let mut held = Vec::new();
            for (connection, link) in self.network.links.iter_mut().filter(|(_, link)| link.worker.index == worker) {
                let lane = if is_up { &mut link.up } else { &mut link.down };
                held.extend(std::mem::take(&mut lane.held).into_iter().map(|frame| (*connection, frame)));
            }
            for (connection, frame) in held {
                self.deliver(connection, is_up, frame, true);
            }
        }
    }

    /// All partitions end; connections that were not true to the link's promise are closed.
    pub(super) fn heal_network(&mut self) {
        let parted: Vec<usize> = self.network.partitions.keys().copied().collect();
        self.network.partitions.clear();
        for worker in parted {
            self.mend(worker);
        }
        let tainted: Vec<usize> =
            self.network.links.values().filter(|link| link.is_tainted).map(|link| link.worker.index).collect();
        for worker in tainted {
            self.break_connections(worker, true, true);
        }
    }

    /// The process at one end is gone: its ends are closed.
    pub(super) fn drop_connections(&mut self, of_worker: bool, process: Process, noticed: bool) {
        let ends = |link: &Link| if of_worker { link.worker == process } else { link.dispatcher == process };
        let open: Vec<Connection> =
            self.network.links.iter().filter(|(_, link)| ends(link)).map(|(connection, _)| *connection).collect();
        for connection in open {
            self.close(connection, of_worker, noticed);
        }
    }
}
