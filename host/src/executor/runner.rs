//! A running runner: hands out its slots and keeps a child waiting in each.

mod reports;
mod rest;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::runner_message::{InitCommand, KeeperCommand, ZygoteCommand};
use nix::errno::Errno;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Call;
use super::call::{Over, REAP_TIMEOUT, Surroundings, converse, platform};
use super::packet_socket::PacketSocket;
use super::slot::{ChildEnd, Slot, StepError};
use super::slot_memory::SlotMemory;
use super::start::{Sandbox, Started};
use super::verdict::require_encoding;

/// Calls after which a warm child is replaced.
const REUSE_CALLS: u32 = 100_000;
/// Age at which a warm child is replaced.
const REUSE_AGE: Duration = Duration::from_secs(3600);
/// How long a killed child may stay unreaped before everything in its sandbox is killed. Until then
/// other calls go on in it.
const LAST_REAP_TIMEOUT: Duration = Duration::from_secs(10);

/// A runner. Ends when dropped; [`Runner::end`] also waits for that.
pub(super) struct Runner {
    /// What its calls and its reader share.
    shared: Arc<Shared>,
    /// Reads the reports of init and zygote.
    reader: tokio::task::JoinHandle<()>,
    /// What one call may use.
    limits: Limits,
    /// Whether children serve many calls.
    reuse: bool,
    /// Most slots.
    capacity: u32,
    /// Slots that are attached and not in a call, the one that came back last at the end.
    idle: Mutex<VecDeque<Slot>>,
    /// Slots attached so far.
    attached: Mutex<u32>,
    /// Set when it is to take no more calls, though those that run go on.
    retired: AtomicBool,
    /// When the last call ended.
    last_used: Mutex<Instant>,
    /// Whether it was called more than once.
    called_again: AtomicBool,
}

struct Shared {
    /// To init.
    control: PacketSocket,
    /// To the zygote.
    zygote: PacketSocket,
    /// What there is to end; `None` once that has begun.
    sandbox: Mutex<Option<Sandbox>>,
    /// Cancelled once that is done: all is reaped.
    reaped: CancellationToken,
    /// Whoever waits for the end of a child, by slot.
    waiting: Mutex<Vec<Option<Waiting>>>,
    /// Where the end of a keeper is told, by slot.
    keepers: Mutex<Vec<Option<oneshot::Sender<()>>>>,
    /// Who waits for a hold of a child, by slot.
    identities: Mutex<Vec<Option<WantsHold>>>,
    /// Cancelled once nothing can run in it any more.
    lost: CancellationToken,
    /// Whether refused system calls are told to init.
    supervised: bool,
}

/// Somebody who waits for a hold of a child: its generation, and where the pidfd goes.
type WantsHold = (u32, oneshot::Sender<OwnedFd>);

/// Somebody who waits for the end of a child.
struct Waiting {
    /// Which child of its slot.
    generation: u32,
    /// Where to tell.
    tell: oneshot::Sender<ChildEnd>,
}

/// A slot after a call.
pub(super) struct UsedSlot {
    slot: Slot,
    over: Over,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks; were it to, the data is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    /// Takes over a runner whose plugin is loaded.
    pub(super) fn new(started: Started, limits: Limits, reuse: bool, capacity: u32) -> Self {
        let shared = Arc::new(Shared {
            control: started.control,
            zygote: started.zygote,
            sandbox: Mutex::new(Some(started.sandbox)),
            reaped: CancellationToken::new(),
            waiting: Mutex::new((0..capacity).map(|_| None).collect()),
            keepers: Mutex::new((0..capacity).map(|_| None).collect()),
            identities: Mutex::new((0..capacity).map(|_| None).collect()),
            lost: CancellationToken::new(),
            supervised: started.supervised,
        });
        let reader = tokio::spawn(reports::read(shared.clone()));
        Self {
            shared,
            reader,
            limits,
            reuse,
            capacity,
            idle: Mutex::new(VecDeque::new()),
            attached: Mutex::new(0),
            retired: AtomicBool::new(false),
            last_used: Mutex::new(Instant::now()),
            called_again: AtomicBool::new(false),
        }
    }

    /// Whether it can take calls.
    pub(super) fn is_usable(&self) -> bool {
        !self.shared.lost.is_cancelled() && !self.retired.load(Ordering::Relaxed)
    }

    /// How long ago its last call ended.
    pub(super) fn idle_for(&self) -> Duration {
        lock(&self.last_used).elapsed()
    }

    /// Runs one call. `watch` is shown the slot's memory while the call runs. Once the caller has its
    /// report, what comes beside it goes to [`Runner::put_back`].
    pub(super) async fn run(
        &self,
        call: &Call,
        cancel: &CancellationToken,
        watch: impl FnOnce(&Arc<SlotMemory>),
    ) -> (Report, Option<UsedSlot>) {
        let mut slot = match self.take_slot().await {
            Ok(slot) => slot,
            Err((step, errno)) => return (platform(step, errno as i32), None),
        };
        watch(&slot.memory);
        let timeout = call.timeout.unwrap_or_else(|| self.limits.timeout());
        let request = |memory: &SlotMemory, deadline_ns| memory.request_call(call, deadline_ns);
        let (report, over) = converse(&mut slot, &self.surroundings(), timeout, cancel, request).await;
        *lock(&self.last_used) = Instant::now();
        (require_encoding(report, call.encoding), Some(UsedSlot { slot, over }))
    }

    /// Asks the package for its description.
    ///
    /// # Errors
    /// The outcome of the attempt to do so.
    pub(super) async fn describe(&self, timeout: Duration) -> Result<Vec<u8>, Outcome> {
        let never = CancellationToken::new();
        let request = |memory: &SlotMemory, _| memory.request_description();
        let report = match self.take_slot().await {
            Ok(mut slot) => converse(&mut slot, &self.surroundings(), timeout, &never, request).await.0,
            Err((step, errno)) => platform(step, errno as i32),
        };
        // A zygote says once that it has loaded the package, before it takes a command: if load-time code has said so
        // too, that word is there by now.
        let silent = self.shared.zygote.is_silent();
        match report.outcome {
            Outcome::Succeeded if silent => Ok(report.result),
            Outcome::Succeeded => {
                Err(Outcome::LoadFailed { reason: "load-time code spoke in the runner's name".to_owned() })
            }
            // Only the package's code has run in it.
            Outcome::SetupFailed { .. } if !silent || self.shared.lost.is_cancelled() => {
                let reason = "load-time code ended the runner, or spoke in the runner's name".to_owned();
                Err(Outcome::LoadFailed { reason })
            }
            other => Err(other),
        }
    }

    /// Makes a slot ready for the next call and gives it back.
    pub(super) async fn put_back(&self, used: UsedSlot) {
        let UsedSlot { mut slot, over } = used;
        match over {
            Over::Ended(_) | Over::NotForked => {}
            Over::RunnerLost => return self.end().await,
            Over::NotReaped => return self.give_up(slot).await,
            Over::Published => {
                slot.calls += 1;
                slot.used = slot.memory.own_usage();
                slot.memory.rest();
                let worn = slot.calls >= REUSE_CALLS || slot.forked_at.elapsed() >= REUSE_AGE;
                if !worn && self.comes_to_rest(&mut slot).await {
                    return lock(&self.idle).push_back(slot);
                }
                return self.replace(slot).await;
            }
        }
        self.renew_and_keep(slot).await;
    }

    /// Kills a slot's child, which is between calls, and gives the slot another.
    async fn replace(&self, mut slot: Slot) {
        let kill = InitCommand::Kill { slot: slot.index, generation: slot.generation };
        let _ = self.shared.control.send(&kill, &[]).await;
        if tokio::time::timeout(REAP_TIMEOUT, &mut slot.ended).await.is_err() {
            return self.give_up(slot).await;
        }
        self.renew_and_keep(slot).await;
    }

    async fn renew_and_keep(&self, mut slot: Slot) {
        match self.renew(&mut slot).await {
            Ok(()) => lock(&self.idle).push_back(slot),
            Err((step, errno)) => {
                tracing::warn!(step, %errno, "a runner can take no more calls");
                self.shared.lost.cancel();
            }
        }
    }

    /// Forks a child ahead of need where one alone waits: a call that comes right after another finds one that is
    /// ready, while the next is forked. Not for a function that was called once, and warm children need none of it.
    pub(super) async fn fork_ahead(&self) {
        if !self.called_again.swap(true, Ordering::Relaxed) {
            return;
        }
        let is_spare_wanted = !self.reuse && self.is_usable() && lock(&self.idle).len() == 1;
        if !is_spare_wanted || *lock(&self.attached) == self.capacity {
            return;
        }
        match self.attach().await {
            Ok(slot) => lock(&self.idle).push_back(slot),
            // The place of a slot that failed is lost.
            Err(_) => self.retired.store(true, Ordering::Relaxed),
        }
    }

    /// Kills and reaps everything.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: what began to end ends.
    pub(super) async fn end(&self) {
        begin_end(&self.shared);
        self.shared.reaped.cancelled().await;
    }

    /// Gives up a slot whose child was killed and is not reaped: no more calls come here, and if need
    /// be it is ended by the end of the whole sandbox. Returns when the child is gone.
    async fn give_up(&self, mut slot: Slot) {
        tracing::warn!(slot = slot.index, "a killed child was not reaped in time: its runner is retired");
        self.retired.store(true, Ordering::Relaxed);
        if tokio::time::timeout(LAST_REAP_TIMEOUT, &mut slot.ended).await.is_err() {
            tracing::error!(slot = slot.index, "a killed child lives on: everything in its sandbox is killed");
            self.end().await;
        }
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            control: &self.shared.control,
            lost: &self.shared.lost,
            limits: &self.limits,
            supervised: self.shared.supervised,
        }
    }

    /// A slot whose child waits for a request.
    async fn take_slot(&self) -> Result<Slot, StepError> {
        let taken = self.find_slot().await;
        if taken.is_err() {
            // The place of a slot that failed is lost, so the next call needs another runner.
            self.retired.store(true, Ordering::Relaxed);
        }
        taken
    }

    async fn find_slot(&self) -> Result<Slot, StepError> {
        let idle = {
            let mut idle = lock(&self.idle);
            // A new child is readiest that was forked first; a warm one that has just served has all at hand.
            if self.reuse { idle.pop_back() } else { idle.pop_front() }
        };
        let Some(mut slot) = idle else { return self.attach().await };
        match slot.ended.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => {
                if let Some(warm) = &mut slot.warm {
                    warm.end_rest();
                }
            }
            Err(oneshot::error::TryRecvError::Closed) => return Err(("reach the runner", Errno::EPIPE)),
            // A child that was killed from outside, or that never came to be, is replaced. Where there
            // is a lasting reason, the call will find the next one gone as well, and say why.
            Ok(_) => {
                // If it was for lack of memory, that is not the next call's.
                slot.ran_out_of_memory();
                self.renew(&mut slot).await?;
            }
        }
        Ok(slot)
    }

    async fn attach(&self) -> Result<Slot, StepError> {
        let index = {
            let mut attached = lock(&self.attached);
            if *attached >= self.capacity {
                return Err(("find a free slot", Errno::EAGAIN));
            }
            *attached += 1;
            *attached - 1
        };
        let cgroup = {
            let sandbox = lock(&self.shared.sandbox);
            // Once it ends there is no group, and nothing may run without one.
            let group = sandbox.as_ref().ok_or(("reach the runner", Errno::EPIPE))?.cgroup();
            let leaf = group.map(|group| group.slot(index, self.limits.memory_bytes, self.limits.threads));
            leaf.transpose()
                .map_err(|error| ("make a slot's cgroup", Errno::from_raw(error.raw_os_error().unwrap_or(0))))?
        };
        let mut slot = Slot::create(index, &self.limits, self.reuse, cgroup)?;
        self.fork(&mut slot).await?;
        Ok(slot)
    }

    /// Has the zygote fork a keeper for a slot that has none.
    async fn keep(&self, slot: &mut Slot) -> Result<(), StepError> {
        let (ends, tell) = slot.expect_keeper()?;
        // Nobody is there to tell of the end of the one before: it was told.
        match lock(&self.shared.keepers).get_mut(slot.index as usize) {
            Some(place) => *place = Some(tell),
            None => return Err(("reach the runner", Errno::EPIPE)),
        }
        let killing_group = slot.cgroup.as_ref().is_some_and(|leaf| leaf.killing().is_some());
        let command = ZygoteCommand::Attach { slot: slot.index, killing_group };
        let sent = self.shared.zygote.send(&command, &slot.descriptors(&ends)).await;
        sent.map_err(|errno| ("reach the zygote", errno))
    }

    /// Clears a slot of a child that is gone and forks the next.
    async fn renew(&self, slot: &mut Slot) -> Result<(), StepError> {
        slot.memory.wipe().map_err(|errno| ("wipe a slot", errno))?;
        self.fork(slot).await
    }

    async fn fork(&self, slot: &mut Slot) -> Result<(), StepError> {
        if !slot.is_kept() {
            self.keep(slot).await?;
        }
        let Err(_) = self.command_fork(slot).await else { return Ok(()) };
        // The keeper is ending, as one does that the kernel kills for lack of memory. Only once it is gone it
        // cannot fork any more.
        if let Some(keeper) = &mut slot.keeper {
            let gone = tokio::time::timeout(REAP_TIMEOUT, &mut keeper.ended).await;
            gone.map_err(|_| ("reach a slot's keeper", Errno::ETIMEDOUT))?
                .map_err(|_| ("reach the runner", Errno::EPIPE))?;
        }
        self.keep(slot).await?;
        self.command_fork(slot).await
    }

    async fn command_fork(&self, slot: &mut Slot) -> Result<(), StepError> {
        let tell = slot.expect_child();
        match lock(&self.shared.waiting).get_mut(slot.index as usize) {
            Some(place) => *place = Some(Waiting { generation: slot.generation, tell }),
            // Nobody tells of ends any more.
            None => return Err(("reach the runner", Errno::EPIPE)),
        }
        let Some(keeper) = &slot.keeper else { return Err(("reach a slot's keeper", Errno::ESRCH)) };
        let command = KeeperCommand::Fork { generation: slot.generation };
        keeper.socket.send(&command, &[]).await.map_err(|errno| ("reach a slot's keeper", errno))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        begin_end(&self.shared);
        self.reader.abort();
    }
}

/// Has everything killed and reaped by a task of its own, as whoever asks for it may be dropped.
fn begin_end(shared: &Arc<Shared>) {
    shared.lost.cancel();
    let sandbox = lock(&shared.sandbox).take();
    // Outside a runtime the process is ending, and with its sockets every sandbox does.
    if let (Some(sandbox), Ok(runtime)) = (sandbox, tokio::runtime::Handle::try_current()) {
        let reaped = shared.reaped.clone().drop_guard();
        runtime.spawn(async move {
            sandbox.end().await;
            drop(reaped);
        });
    }
}

/// A name that no two runners of this process share.
pub(super) fn next_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("runner{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
