//! A store and workers that answer whatever the core wants at once, so that nothing but the core takes time. Also
//! counted in instructions, by `tests/instructions`.

use std::collections::VecDeque;
use std::time::Duration;

use bulkhead_dispatch::{Arrival, Config, Cut, Dispatcher, Input, Output, WorkerKind};
use bulkhead_protocol::id::{FunctionId, TaskId, WorkerId};
use bulkhead_protocol::outcome::Outcome;
use bulkhead_protocol::task::{Priority, RetryPolicy, Spent};
use uuid::Uuid;

/// Numbers of workers that are measured.
pub(crate) const WORKERS: [u64; 3] = [1, 100, 1_000];
/// Tasks that arrive in one go where a full queue is measured.
pub(crate) const BATCH: u64 = 1_000;
/// Slots of each worker.
const SLOTS: u32 = 4;
/// Functions that the tasks run, one after the other.
const FUNCTIONS: u64 = 16;

/// A core with its surroundings.
pub(crate) struct Cluster {
    /// What is measured.
    dispatcher: Dispatcher,
    /// Time since start; each input comes a microsecond after the one before.
    now: Duration,
    /// Tasks that have arrived so far.
    arrived: u64,
    /// What the surroundings say next.
    answers: VecDeque<Input>,
}

impl Cluster {
    /// So many push workers and no task.
    pub(crate) fn new(workers: u64) -> Self {
        let dispatcher = Dispatcher::new(Config::default(), 1);
        let mut cluster = Self { dispatcher, now: Duration::ZERO, arrived: 0, answers: VecDeque::new() };
        for number in 0..workers {
            let worker = WorkerId(uuid(number));
            cluster.tell(Input::Hello { worker, kind: WorkerKind::Push, slots: SLOTS, in_hand: Vec::new() });
        }
        cluster
    }

    /// The life of so many tasks that arrive in one go, until all of them are forgotten. Returns how many were.
    pub(crate) fn run(&mut self, tasks: u64) -> u64 {
        for _ in 0..tasks {
            let arrival = self.next_arrival();
            self.answers.push_back(Input::Arrived(arrival));
        }
        self.answers.push_back(Input::Claimed);
        let mut forgotten = 0;
        while let Some(input) = self.answers.pop_front() {
            forgotten += self.tell(input);
        }
        forgotten
    }

    /// Tells the core something and answers what it wants. Returns how many tasks it has forgotten.
    fn tell(&mut self, input: Input) -> u64 {
        self.now += Duration::from_micros(1);
        self.dispatcher.handle(self.now, input);
        let mut forgotten = 0;
        while let Some(output) = self.dispatcher.poll() {
            match output {
                Output::Assign { worker, task, attempt } => {
                    self.answers.push_back(Input::Started { worker, task, attempt });
                    let outcome = Outcome::Succeeded;
                    self.answers.push_back(Input::Ended { worker, task, attempt, outcome, bytes: 256 });
                }
                Output::Record { task, .. } => self.answers.push_back(Input::Recorded { task, applied: true }),
                Output::Forget { .. } => forgotten += 1,
                // A claim is answered by the next tasks, and nothing falls due.
                _ => {}
            }
        }
        forgotten
    }

    fn next_arrival(&mut self) -> Arrival {
        let number = self.arrived;
        self.arrived += 1;
        Arrival {
            task: TaskId(uuid(number)),
            function: FunctionId(uuid(number % FUNCTIONS)),
            priority: Priority::Normal,
            retry: RetryPolicy::default(),
            attempt: 0,
            cut: Cut::Lost { worker: None },
            spent: Spent::default(),
            concurrency: None,
            expires: None,
        }
    }
}

/// The same identifier in every run.
fn uuid(number: u64) -> Uuid {
    Uuid::from_u64_pair(0x7000, number)
}
