//! The loop of a worker: hears the dispatcher, the attempts and its owner, and carries out what
//! follows. After each wake-up everything that is due is done, and all that is to be said goes as one
//! batch. While other attempts wait in hand, the ends of short ones wait for each other.

mod beginning;
mod hearing;
mod leaving;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bulkhead_protocol::outcome::Report;
use bulkhead_protocol::worker_message::{AttemptId, Hello, ToDispatcher};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::beginning::{GotReady, Unable};
use self::leaving::Leaving;
use super::appetite::Appetite;
use super::config::{Config, Error};
use super::connecting::Connecting;
use super::fetches::{Fetches, Wanted};
use super::hand::{Hand, size_of_report};
use super::line::{Event, Line};
use super::outbox::Outbox;
use super::run::Runs;

/// How often running attempts are looked at, and how long one runs before it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Batches that are heard in one wake-up.
const BATCHES_AT_ONCE: usize = 64;
/// How long a dispatcher may take to answer a hello.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);

/// What the owner of a worker wants.
pub(super) enum Command {
    /// Leave: give back what waits, let what runs finish within the grace.
    Drain {
        /// How long.
        grace: Duration,
    },
}

/// Where a session gets what it needs.
pub(super) struct Inlets {
    /// From its owner; it ends when the owner is gone.
    pub(super) commands: mpsc::Receiver<Command>,
    /// Packages that the executor needs.
    pub(super) wanted: mpsc::Receiver<Wanted>,
    /// Told once the dispatcher has welcomed the worker, or when it is given up at the start.
    pub(super) joined: oneshot::Sender<Result<(), Error>>,
}

/// Owns the connection and all that the worker has in hand.
pub(super) struct Session {
    /// How it was set up.
    config: Config,
    /// How it introduces itself; what is in hand is filled in each time.
    hello: Hello,
    /// Runs attempts.
    runs: Runs,
    /// What is in hand.
    hand: Hand,
    /// What more is wanted.
    appetite: Appetite,
    /// Packages on their way.
    fetches: Fetches,
    /// What is to be said.
    outbox: Outbox,
    /// To the dispatcher.
    line: Line,
    /// Connections that ended soon and tries that failed, in a row.
    failures: u32,
    /// Attempts whose functions are got ready.
    getting_ready: JoinSet<GotReady>,
    /// What cannot be got ready; until it can, the worker rests.
    unable: Option<Unable>,
    /// What runs.
    attempts: JoinSet<(AttemptId, Report)>,
    /// From outside.
    commands: mpsc::Receiver<Command>,
    /// From the executor.
    wanted: mpsc::Receiver<Wanted>,
    /// When it began.
    began: Instant,
    /// Until the worker has joined for the first time.
    joined: Option<oneshot::Sender<Result<(), Error>>>,
    /// Once it takes no more.
    leaving: Option<Leaving>,
    /// How often something must be said, once welcomed.
    heartbeat: Duration,
    /// How long the dispatcher may be silent.
    dead_after: Duration,
    /// When running attempts are looked at.
    look: Option<Instant>,
    /// Whether the session is over.
    is_over: bool,
}

impl Session {
    pub(super) fn new(config: Config, hello: Hello, runs: Runs, inlets: Inlets) -> Self {
        let now = Instant::now();
        let Inlets { commands, wanted, joined } = inlets;
        let connecting = Connecting::new(config.endpoint.clone(), config.join_key.clone(), 0);
        Self {
            hand: Hand::new(config.slots),
            appetite: Appetite::new(config.mode, config.slots),
            fetches: Fetches::default(),
            outbox: Outbox::default(),
            line: Line::Connecting(connecting),
            failures: 0,
            getting_ready: JoinSet::new(),
            unable: None,
            attempts: JoinSet::new(),
            commands,
            wanted,
            began: now,
            joined: Some(joined),
            leaving: None,
            heartbeat: WELCOME_WITHIN,
            dead_after: WELCOME_WITHIN,
            look: None,
            is_over: false,
            config,
            hello,
            runs,
        }
    }

    /// Works until the worker has left, or its owner is gone.
    pub(super) async fn work(mut self) {
        let alarm = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(alarm);
        loop {
            let wake = self.settle(Instant::now());
            if self.is_over {
                break;
            }
            if let Some(wake) = wake {
                alarm.as_mut().reset(wake);
            }
            tokio::select! {
                event = self.line.next() => self.follow(event),
                Some(ended) = self.attempts.join_next() => self.ended(ended),
                Some(ready) = self.getting_ready.join_next() => self.got_ready(ready),
                Some(wanted) = self.wanted.recv() => self.fetch(wanted),
                command = self.commands.recv() => match command {
                    Some(Command::Drain { grace }) => self.leave(Some(grace)),
                    None => break,
                },
                () = &mut alarm, if wake.is_some() => {}
            }
            self.hear_all();
        }
        self.line.close().await;
    }

    /// Hears what is there anyway, so that it is answered with one batch; and a dispatcher that spoke
    /// while this process was stopped is not taken for dead.
    fn hear_all(&mut self) {
        for _ in 0..BATCHES_AT_ONCE {
            let Some(event) = self.line.try_next() else { break };
            self.follow(Event::Told(Some(event)));
        }
        while let Some(ended) = self.attempts.try_join_next() {
            self.ended(ended);
        }
        while let Ok(wanted) = self.wanted.try_recv() {
            self.fetch(wanted);
        }
    }

    /// Does all that is due and says it; gives when to look again.
    fn settle(&mut self, now: Instant) -> Option<Instant> {
        self.check_line(now);
        if self.line.is_welcomed() {
            let mut fetches = Vec::new();
            self.fetches.tick(now, &mut fetches);
            fetches.into_iter().for_each(|fetch| self.outbox.push(fetch));
        }
        self.look_at_attempts(now);
        self.advance_leaving(now);
        self.begin(now);
        self.try_again(now);
        // What the worker wants goes with what it says.
        if !self.outbox.may_wait(now, self.hand.waiting()) {
            self.say_appetite();
            self.flush(now);
        }
        self.next_wake()
    }

    fn next_wake(&mut self) -> Option<Instant> {
        let (heartbeat, dead_after, is_welcomed) = (self.heartbeat, self.dead_after, self.line.is_welcomed());
        let line = self.line.open_mut().map(|open| {
            let dead_at = open.dead_at(dead_after);
            if is_welcomed { dead_at.min(open.said + heartbeat) } else { dead_at }
        });
        let spoken = [self.fetches.next_wake(), self.outbox.next_wake()];
        let spoken = spoken.into_iter().filter(|_| is_welcomed).flatten().min();
        let leaving = self.leaving.as_ref().and_then(Leaving::next_wake);
        let unable = self.unable.as_ref().and_then(Unable::next_wake);
        [line, spoken, leaving, unable, self.look].into_iter().flatten().min()
    }

    /// From time to time: tells the progress of long attempts, and gives back what waits behind them.
    fn look_at_attempts(&mut self, now: Instant) {
        if self.look.is_none_or(|look| look > now) {
            return;
        }
        self.look = self.hand.is_running().then(|| now + LOOK_EVERY);
        if let Some(stuck) = self.hand.stuck_for(now).filter(|stuck| *stuck >= LOOK_EVERY) {
            self.appetite.got_stuck(stuck);
            // First, or the same would come back at once.
            self.say_appetite();
            self.hand.give_back_early().into_iter().for_each(|id| self.say_end(id));
        }
        // A dispatcher that is slow to listen has more important things to hear.
        if !self.line.is_welcomed() || !self.outbox.is_empty() {
            return;
        }
        for (id, running) in self.hand.running_mut() {
            if now.duration_since(running.since) < LOOK_EVERY {
                continue;
            }
            let progress = (self.runs.progress)(id.task);
            if let Some(progress) = progress.filter(|progress| running.told.as_ref() != Some(progress)) {
                running.told = Some(progress.clone());
                self.outbox.push(ToDispatcher::Progress { id, progress });
            }
        }
    }

    fn say_appetite(&mut self) {
        if self.line.is_welcomed() {
            let is_closed = self.leaving.is_some();
            let rests = self.unable.is_some() || self.hand.is_full();
            self.appetite.say(self.hand.unfinished(), is_closed, rests).for_each(|message| self.outbox.push(message));
        }
    }

    /// Closes a line on which nothing is heard, and says that the worker lives where it said nothing
    /// else.
    fn check_line(&mut self, now: Instant) {
        let (heartbeat, dead_after) = (self.heartbeat, self.dead_after);
        if self.line.open_mut().is_some_and(|open| now >= open.dead_at(dead_after)) {
            return self.lose(&format!("the dispatcher was silent for {} ms", dead_after.as_millis()));
        }
        let is_due = self.line.welcomed_mut().is_some_and(|open| now >= open.said + heartbeat);
        if is_due && self.outbox.is_empty() {
            self.outbox.push(ToDispatcher::Heartbeat);
        }
    }

    fn say(&mut self, message: ToDispatcher) {
        if self.line.is_welcomed() {
            self.outbox.push(message);
        }
    }

    fn say_all(&mut self, messages: Vec<ToDispatcher>) {
        messages.into_iter().for_each(|message| self.say(message));
    }

    fn say_end(&mut self, id: AttemptId) {
        if self.line.is_welcomed() {
            self.outbox.push_end(id);
        }
    }

    fn say_patient_end(&mut self, id: AttemptId) {
        if self.line.is_welcomed() {
            let bytes = self.hand.report(id).map_or(0, size_of_report);
            self.outbox.push_patient_end(id, bytes);
        }
    }

    fn flush(&mut self, now: Instant) {
        let Some(open) = self.line.welcomed_mut() else { return };
        match self.outbox.flush(now, open.dealer(), &self.hand) {
            Ok(true) => open.said = now,
            Ok(false) => {}
            Err(error) => self.lose(&error.to_string()),
        }
    }
}

/// Milliseconds since the Unix epoch.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
