//! Remote workers: what they say, what is assigned to them, the packages that they need.

use std::collections::HashMap;
use std::sync::Arc;

use bulkhead_dispatch::Input;
use bulkhead_protocol::function::Function;
use bulkhead_protocol::id::{FunctionId, PackageId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::Task;
use bulkhead_protocol::worker_message::{Assignment, AttemptId, MAX_BATCH_BYTES, ToWorker, WorkerMode};
use bytes::Bytes;
use futures_util::FutureExt as _;

use super::{Begun, Driver, Event};
use crate::dispatcher::attempt::{deleted, find_function};
use crate::dispatcher::config::Remote;
use crate::dispatcher::transport::{Asked, Cancel, Heard, Packages, Request, Roster, plausible_start_ms};
use crate::dispatcher::write::unix_ms;
use crate::link::{Events, PeerEvent, Router};
use crate::telemetry::stage::{self, Stage};

/// Bytes of an assignment beside its input and its configuration.
const ASSIGNMENT_BYTES: usize = 64 * 1024;

/// The workers and what waits for them.
pub(super) struct Remotes {
    /// What happens at the link.
    events: Events<PeerEvent>,
    /// The workers.
    pub(super) roster: Roster,
    /// Packages on their way to them.
    packages: Packages,
    /// Assignments whose function the store is being asked for.
    lookups: HashMap<FunctionId, Vec<(WorkerId, AttemptId)>>,
    /// What was heard and not told on yet; its memory is used again.
    heard: Vec<Heard>,
}

impl Remotes {
    pub(super) fn new(router: Router, events: Events<PeerEvent>, remote: &Remote, takes: WorkerMode) -> Self {
        Self {
            events,
            roster: Roster::new(router, remote, takes),
            packages: Packages::default(),
            lookups: HashMap::new(),
            heard: Vec::new(),
        }
    }

    /// What happened at the link, if something did.
    pub(super) fn try_next(&mut self) -> Option<PeerEvent> {
        self.events.try_recv()
    }

    /// Says that this dispatcher lives, and drops what is not needed any more.
    pub(super) fn beat(&mut self) {
        self.roster.beat();
        self.packages.tidy();
    }
}

/// The next that happens at the link; none when it has failed. Never, without remote workers.
pub(super) async fn next(remotes: &mut Option<Remotes>) -> Option<PeerEvent> {
    match remotes {
        Some(remotes) => remotes.events.recv().await,
        None => std::future::pending().await,
    }
}

impl Driver {
    pub(super) fn hear_peer(&mut self, event: PeerEvent) {
        let Some(remotes) = &mut self.remotes else { return };
        let mut heard = std::mem::take(&mut remotes.heard);
        remotes.roster.hear(event, unix_ms(), &mut heard);
        for heard in heard.drain(..) {
            match heard {
                Heard::Input(input) => self.tell(input),
                Heard::Begun { worker, id: AttemptId { task, attempt }, at_ms } => {
                    if self.core.runs(worker, task, attempt) {
                        let at_ms = plausible_start_ms(at_ms, unix_ms());
                        self.begun.push(Begun { task, attempt, worker, at_ms });
                    }
                    self.tell(Input::Started { worker, task, attempt });
                }
                Heard::Ended { worker, id, report } => self.end(worker, id.task, id.attempt, report),
                Heard::Progress { task, progress } => self.shown.progress(task, progress),
                Heard::Fetch { package, request } => self.fetch(package, request),
            }
        }
        if let Some(remotes) = &mut self.remotes {
            remotes.heard = heard;
        }
    }

    /// Gives an attempt to a worker.
    pub(super) fn assign(&mut self, worker: WorkerId, id: AttemptId) {
        let Some(remotes) = &mut self.remotes else { return };
        remotes.roster.assigned(worker, id);
        self.send_assignment(worker, id);
    }

    /// Sends an assignment, as soon as its function is known and there is room on the way.
    fn send_assignment(&mut self, worker: WorkerId, id: AttemptId) {
        let (Some(task), Some(remotes)) = (self.tasks.get(&id.task), &mut self.remotes) else {
            // It has ended otherwise in the meantime.
            return;
        };
        if let Some(waiting) = remotes.lookups.get_mut(&task.function) {
            return waiting.push((worker, id));
        }
        // The store answers from memory after the first time.
        match self.store.function(task.function).now_or_never() {
            Some(Ok(Some(function))) => {
                let task = Arc::clone(task);
                self.send_function(worker, id, &task, &function);
            }
            Some(Ok(None)) => {
                let outcome = deleted(task);
                self.give_up(worker, id, outcome);
            }
            Some(Err(_)) | None => {
                remotes.lookups.insert(task.function, vec![(worker, id)]);
                let (store, function) = (self.store.clone(), task.function);
                // After a panic it counts as deleted: the next of its tasks asks again.
                self.ask(Event::Function { function, found: None }, async move {
                    Event::Function { function, found: find_function(&store, function).await }
                });
            }
        }
    }

    /// The store knows a function now, or that it is gone.
    pub(super) fn found_function(&mut self, function: FunctionId, found: Option<Arc<Function>>) {
        let waiting = self.remotes.as_mut().and_then(|remotes| remotes.lookups.remove(&function));
        for (worker, id) in waiting.unwrap_or_default() {
            let Some(task) = self.tasks.get(&id.task).map(Arc::clone) else { continue };
            match &found {
                Some(function) => self.send_function(worker, id, &task, function),
                None => self.give_up(worker, id, deleted(&task)),
            }
        }
    }

    fn send_function(&mut self, worker: WorkerId, id: AttemptId, task: &Task, function: &Function) {
        let config = self.config.function_configs.get(&function.name).cloned().unwrap_or_default();
        let input = task.input.bytes.len();
        if input + config.len() + ASSIGNMENT_BYTES > MAX_BATCH_BYTES {
            let reason = format!("its input ({input} bytes) and configuration ({} bytes) are too long", config.len());
            return self.give_up(worker, id, Outcome::LoadFailed { reason });
        }
        let Some(remotes) = &mut self.remotes else { return };
        if !remotes.roster.may_send(worker, id, input as u64) {
            return;
        }
        let assignment = Assignment {
            id,
            function: without_description(function),
            config: config.to_vec(),
            timeout_ms: task.options.timeout_ms,
            input: task.input.clone(),
        };
        stage::reached(Stage::Sent, id.task);
        remotes.roster.send_assignment(worker, id, ToWorker::Assign(Box::new(assignment)), input as u64);
    }

    /// Ends an attempt that was not sent.
    fn give_up(&mut self, worker: WorkerId, id: AttemptId, outcome: Outcome) {
        if self.remotes.as_mut().is_some_and(|remotes| remotes.roster.give_up(worker, id)) {
            self.unsent.push((worker, id.task, id.attempt, outcome));
        }
    }

    /// Looks again at the assignments that were kept back.
    pub(super) fn send_released(&mut self) {
        let Some(remotes) = &mut self.remotes else { return };
        for (worker, id) in remotes.roster.released() {
            self.send_assignment(worker, id);
        }
    }

    pub(super) fn kill_remote(&mut self, worker: WorkerId, id: AttemptId) {
        let Some(remotes) = &mut self.remotes else { return };
        if remotes.roster.cancel(worker, id) == Cancel::NeverSent {
            self.unsent.push((worker, id.task, id.attempt, Outcome::Cancelled));
        }
    }

    /// A worker asks for a part of a package.
    fn fetch(&mut self, package: PackageId, request: Request) {
        let Some(remotes) = &mut self.remotes else { return };
        match remotes.packages.ask(package, request) {
            Asked::Here(bytes) => remotes.roster.send_chunks(package, request, &bytes),
            Asked::Read => self.read_package(package),
            Asked::Wait => {}
        }
    }

    fn read_package(&mut self, package: PackageId) {
        let store = self.store.clone();
        self.ask(Event::Package { package, found: Err("reading it failed".to_owned()) }, async move {
            let found = store.package(package).await;
            let found = found.inspect_err(|error| {
                tracing::warn!(%package, error = error as &dyn std::error::Error, "a package is not read");
            });
            Event::Package { package, found: found.map_err(|error| error.to_string()) }
        });
    }

    /// The store has given a package, or none.
    pub(super) fn found_package(&mut self, package: PackageId, found: Result<Option<Bytes>, String>) {
        let Some(remotes) = &mut self.remotes else { return };
        let bytes = found.as_ref().ok().and_then(Option::as_ref);
        let (waiting, next) = remotes.packages.read(package, bytes);
        for request in waiting {
            match &found {
                Ok(Some(bytes)) => remotes.roster.send_chunks(package, request, bytes),
                Ok(None) => {
                    let reason = "it was deleted with its last function".to_owned();
                    remotes.roster.send_no_package(package, request, reason, false);
                }
                Err(reason) => remotes.roster.send_no_package(package, request, reason.clone(), true),
            }
        }
        if let Some(next) = next {
            self.read_package(next);
        }
    }
}

/// A function as it travels: what its author wrote about it stays behind.
fn without_description(function: &Function) -> Function {
    Function {
        id: function.id,
        name: function.name.clone(),
        version: function.version,
        package: function.package,
        index: function.index,
        entry: function.entry.clone(),
        limits: function.limits.clone(),
        isolation: function.isolation,
        description: String::new(),
        registered_at_ms: function.registered_at_ms,
    }
}
