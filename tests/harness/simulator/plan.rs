//! What a seed makes of a profile: who takes part in a schedule, what there is to do, what breaks.

use std::time::Duration;

use bulkhead_dispatch::Config;
use bulkhead_protocol::id::{FunctionId, TaskId};
use bulkhead_protocol::task::{Priority, RetryPolicy};

use super::faults::{Fault, FaultKind};
use super::names::{Ms, function_id, task_id};
use super::profile::{Profile, Weather};
use super::random::Random;

/// A schedule: all that is decided before it begins. What is decided on the way comes from the
/// same seed.
#[derive(Debug)]
pub(super) struct Plan {
    /// Whether one dispatcher has the store for itself: what it claimed is free once it restarts.
    /// Otherwise dispatchers hold leases.
    pub(super) embedded: bool,
    /// Whether connections may lose, repeat and reorder messages without closing. The link of the
    /// product never does; the core must stay safe all the same.
    pub(super) adversarial: bool,
    /// Whether a dispatcher tells the store of a start when it assigns, rather than when the worker
    /// says so.
    pub(super) tells_at_assign: bool,
    /// Slots of the executor beside each dispatcher; 0 for none.
    pub(super) dispatchers: Vec<u32>,
    /// The remote workers.
    pub(super) workers: Vec<WorkerPlan>,
    /// The functions.
    pub(super) functions: Vec<FunctionPlan>,
    /// The tasks, by number from 1.
    pub(super) tasks: Vec<TaskPlan>,
    /// Who wants which task to end, and when.
    pub(super) cancels: Vec<(Ms, TaskId)>,
    /// The bounds and budgets of every dispatcher.
    pub(super) config: Config,
    /// How likely single calls and messages go wrong.
    pub(super) weather: Weather,
    /// What breaks, and when.
    pub(super) faults: Vec<(Ms, Fault)>,
    /// When faults are over for good.
    pub(super) heal_at: Ms,
    /// Longest time that a message is on its way.
    pub(super) latency: Ms,
    /// Longest time that a call to the store takes, one way.
    pub(super) store_latency: Ms,
}

/// A remote worker.
#[derive(Clone, Debug)]
pub(super) struct WorkerPlan {
    /// Whether it asks for tasks.
    pub(super) pulls: bool,
    /// Attempts that it runs at once.
    pub(super) slots: u32,
    /// Attempts that may wait at it.
    pub(super) ahead: u32,
    /// The dispatcher that it connects to.
    pub(super) home: usize,
}

/// A function, as its attempts behave.
#[derive(Clone, Debug)]
pub(super) struct FunctionPlan {
    /// Its id.
    pub(super) id: FunctionId,
    /// Most attempts of it that run at once.
    pub(super) concurrency: Option<u32>,
    /// Longest run.
    pub(super) longest: Ms,
    /// How many of a thousand attempts fail, in whatever way.
    pub(super) fails: u32,
    /// How many of a thousand failures are crashes.
    pub(super) crashes: u32,
}

/// A task.
#[derive(Clone, Debug)]
pub(super) struct TaskPlan {
    /// Its id.
    pub(super) id: TaskId,
    /// Its function, by number.
    pub(super) function: usize,
    /// Its place in the order.
    pub(super) priority: Priority,
    /// Its tries after a failure.
    pub(super) retry: RetryPolicy,
    /// When it is submitted.
    pub(super) at: Ms,
    /// How long after that it may wait for its first attempt.
    pub(super) lives: Option<Ms>,
}

impl Plan {
    /// The schedule of a seed.
    pub(super) fn draw(profile: Profile, random: &mut Random) -> Self {
        let weather = profile.weather(random);
        let heal_at = random.between(4_000, weather.longest.max(4_000));
        let dispatchers = if weather.two_dispatchers { 2 } else { 1 };
        let embedded = dispatchers == 1 && random.chance(300);
        let dispatchers: Vec<u32> =
            (0..dispatchers).map(|_| if random.chance(400) { random.count(1, 3) } else { 0 }).collect();
        let workers = workers(&dispatchers, random);
        let functions: Vec<FunctionPlan> = functions(random);
        let tasks = tasks(heal_at, functions.len(), random);
        let cancels = cancels(&tasks, heal_at, random);
        let mut plan = Self {
            embedded,
            adversarial: weather.drops + weather.repeats + weather.reorders + weather.forgeries > 0,
            tells_at_assign: random.chance(500),
            dispatchers,
            workers,
            functions,
            tasks,
            cancels,
            config: config(random),
            weather,
            faults: Vec::new(),
            heal_at,
            latency: if random.chance(700) { random.between(1, 20) } else { random.between(20, 400) },
            store_latency: if random.chance(800) { random.between(0, 10) } else { random.between(10, 1_500) },
        };
        plan.draw_faults(random);
        plan
    }

    /// The task with an id.
    pub(super) fn task(&self, id: TaskId) -> Option<&TaskPlan> {
        let number = usize::try_from(id.0.as_u128() & 0xFFFF_FFFF).ok()?;
        self.tasks.get(number.checked_sub(1)?).filter(|task| task.id == id)
    }

    /// Most attempts of a task's function that run at once.
    pub(super) fn concurrency(&self, task: &TaskPlan) -> Option<u32> {
        self.functions.get(task.function).and_then(|function| function.concurrency)
    }

    fn draw_faults(&mut self, random: &mut Random) {
        if self.weather.faults.is_empty() {
            return;
        }
        for _ in 0..random.between(1, u64::from(self.weather.most_faults)) {
            let at = random.between(0, self.heal_at);
            let kind = self.weather.faults[random.index(self.weather.faults.len())];
            let fault = self.draw_fault(kind, random);
            self.faults.push((at, fault));
        }
    }

    /// Whom a fault hits, and how hard.
    fn draw_fault(&self, kind: FaultKind, random: &mut Random) -> Fault {
        // Around the times that matter: reconnecting (500 ms) and being taken for dead (10 s).
        let lengths = [(10, 600), (600, 9_000), (9_000, 14_000), (14_000, 30_000)];
        let (low, high) = lengths[random.index(lengths.len())];
        let length = random.between(low, high);
        let target = match kind.hits_dispatcher() {
            true => random.index(self.dispatchers.len()),
            false => random.index(self.workers.len()),
        };
        Fault { kind, target, length, flags: random.next() }
    }
}

fn workers(dispatchers: &[u32], random: &mut Random) -> Vec<WorkerPlan> {
    let most = random.between(1, 3);
    let mut workers = Vec::new();
    for home in 0..dispatchers.len() {
        for _ in 0..most {
            let pulls = random.chance(500);
            let ahead = if random.chance(500) { 0 } else { random.count(1, 4) };
            workers.push(WorkerPlan { pulls, slots: random.count(1, 3), ahead, home });
        }
    }
    workers
}

fn functions(random: &mut Random) -> Vec<FunctionPlan> {
    let limits = random.chance(400);
    let failing = random.chance(600);
    let crashing = random.chance(300);
    let drawn = (0..random.index(4) + 1).map(|number| FunctionPlan {
        id: function_id(number),
        concurrency: (limits && random.chance(600)).then(|| random.count(1, 2)),
        longest: random.skewed(5, 12_000),
        fails: if failing { random.count(0, 700) } else { 0 },
        crashes: if crashing { 900 } else { 200 },
    });
    drawn.collect()
}

fn tasks(heal_at: Ms, functions: usize, random: &mut Random) -> Vec<TaskPlan> {
    let count = random.skewed(1, 40);
    let span = if random.chance(500) { heal_at.min(2_000) } else { heal_at };
    let short_lived = random.chance(200);
    let drawn = (1..=count).map(|number| TaskPlan {
        id: task_id(u32::try_from(number).unwrap_or(u32::MAX)),
        function: random.index(functions),
        priority: [Priority::Low, Priority::Normal, Priority::Normal, Priority::High][random.index(4)],
        retry: RetryPolicy { max: random.count(0, 4), backoff_ms: random.below(1_500) },
        at: random.between(0, span),
        lives: (short_lived && random.chance(500)).then(|| random.between(100, 30_000)),
    });
    drawn.collect()
}

fn cancels(tasks: &[TaskPlan], heal_at: Ms, random: &mut Random) -> Vec<(Ms, TaskId)> {
    if random.chance(400) {
        return Vec::new();
    }
    let mut cancels = Vec::new();
    for _ in 0..random.between(1, 5) {
        let task = &tasks[random.index(tasks.len())];
        cancels.push((task.at + random.skewed(0, heal_at + 10_000), task.id));
    }
    cancels
}

fn config(random: &mut Random) -> Config {
    let mut config = Config {
        window: random.index(60) + 4,
        prefetch: random.index(8) + 1,
        losses: random.count(0, 3),
        crash_cap: random.count(1, 4),
        setup_backoff: Duration::from_millis(random.between(10, 1_000)),
        retry_backoff_max: Duration::from_secs(8),
        ..Config::default()
    };
    if random.chance(150) {
        config.returns = random.count(0, 3);
    }
    if random.chance(150) {
        config.unrecorded_bytes = random.between(1, 4) * super::dispatcher::REPORT_BYTES;
    }
    config
}
