//! How attempts begin: at once where their function is warm, else once its library is in its place. A
//! worker that has no room for a library gives the attempt back unbegun and rests, so that the task
//! runs elsewhere; it tries the same library again until it has room.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_protocol::function::Function;
use bulkhead_protocol::worker_message::{Assignment, ToDispatcher};
use futures_util::FutureExt as _;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{LOOK_EVERY, Session, unix_ms};
use crate::executor::NoRoom;
use crate::telemetry::stage::{self, Stage};

/// First and longest pause before a library is tried again; each is twice as long as the one before.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What came of getting a function ready.
pub(super) struct GotReady {
    /// For whom.
    whom: Whom,
    /// Whether it can begin now.
    ready: Result<(), NoRoom>,
}

/// Who needs a function ready.
enum Whom {
    /// An attempt that has a slot.
    Attempt(Box<Assignment>, CancellationToken),
    /// The worker itself, which rests because of it.
    Worker,
}

/// A function that cannot be got ready.
pub(super) struct Unable {
    /// The function.
    function: Arc<Function>,
    /// The pause before the next try.
    pause: Duration,
    /// When that is; none while one is under way.
    again: Option<Instant>,
}

impl Unable {
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.again
    }
}

impl Session {
    /// Gives free slots to what waits.
    pub(super) fn begin(&mut self, now: Instant) {
        while let Some((assignment, cancel)) = self.hand.begin_next(now) {
            if (self.runs.is_warm)(&assignment.function) {
                self.run(*assignment, cancel);
            } else {
                let function = Arc::new(assignment.function.clone());
                let ready = (self.runs.get_ready)(function);
                let ready = AssertUnwindSafe(ready).catch_unwind();
                self.getting_ready.spawn(async move {
                    // What panicked is run all the same, and tells; what is cancelled ends as that.
                    let ready = tokio::select! {
                        ready = ready => ready.unwrap_or(Ok(())),
                        () = cancel.cancelled() => Ok(()),
                    };
                    GotReady { whom: Whom::Attempt(assignment, cancel), ready }
                });
            }
        }
        if self.look.is_none() && self.hand.is_running() {
            self.look = Some(now + LOOK_EVERY);
        }
    }

    fn run(&mut self, assignment: Assignment, cancel: CancellationToken) {
        let (id, at_ms) = (assignment.id, unix_ms());
        stage::reached(Stage::Begun, id.task);
        self.hand.begun(id, at_ms);
        self.say(ToDispatcher::Started { id, at_ms });
        let attempt = self.runs.attempt(assignment, cancel);
        self.attempts.spawn(async move { (id, attempt.await) });
    }

    /// A function is ready, or cannot be.
    pub(super) fn got_ready(&mut self, got: Result<GotReady, JoinError>) {
        // Panics are caught inside the task, and nothing aborts one.
        let Ok(GotReady { whom, ready }) = got else { return };
        match (whom, ready) {
            (Whom::Attempt(assignment, cancel), Ok(())) => self.run(*assignment, cancel),
            (Whom::Attempt(assignment, _), Err(no_room)) => self.cannot_begin(*assignment, &no_room),
            (Whom::Worker, Ok(())) => {
                tracing::info!("there is room again; tasks are taken again");
                self.unable = None;
            }
            (Whom::Worker, Err(_)) => {
                if let Some(unable) = &mut self.unable {
                    unable.pause = (2 * unable.pause).min(PAUSE.1);
                    unable.again = Some(Instant::now() + unable.pause);
                }
            }
        }
    }

    fn cannot_begin(&mut self, assignment: Assignment, no_room: &NoRoom) {
        let Assignment { id, function, .. } = assignment;
        if self.unable.is_none() {
            let (reason, name) = (&no_room.reason, &function.name);
            tracing::error!(
                reason,
                function = name,
                "there is no room for a library: until there is, no tasks are taken"
            );
            let again = Some(Instant::now() + PAUSE.0);
            self.unable = Some(Unable { function: Arc::new(function), pause: PAUSE.0, again });
        }
        // First, or the same would come back at once.
        self.say_appetite();
        self.hand.could_not_begin(id);
        self.say_end(id);
    }

    /// Tries again, when it is time, what could not be got ready.
    pub(super) fn try_again(&mut self, now: Instant) {
        let Some(unable) = self.unable.as_mut().filter(|unable| unable.again.is_some_and(|again| again <= now)) else {
            return;
        };
        unable.again = None;
        let ready = AssertUnwindSafe((self.runs.get_ready)(unable.function.clone())).catch_unwind();
        self.getting_ready.spawn(async { GotReady { whom: Whom::Worker, ready: ready.await.unwrap_or(Ok(())) } });
    }
}
