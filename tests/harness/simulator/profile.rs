//! Kinds of schedules: what may go wrong in each.

use super::faults::FaultKind;
use super::names::Ms;
use super::random::Random;

/// A kind of schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Nothing breaks but functions; clients cancel.
    Calm,
    /// Connections break; messages are lost, repeated, reordered and made up.
    Lossy,
    /// Messages stop one way or both ways for a while.
    Partitions,
    /// Workers die, hang and come back late, leave.
    Workers,
    /// The dispatcher dies, hangs, drains; its clock jumps.
    Dispatchers,
    /// Two dispatchers share the store and take over from each other.
    Two,
    /// The store refuses, answers late or not at all, is away.
    Store,
    /// All of it at once.
    Everything,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Calm,
        Self::Lossy,
        Self::Partitions,
        Self::Workers,
        Self::Dispatchers,
        Self::Two,
        Self::Store,
        Self::Everything,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Lossy => "lossy",
            Self::Partitions => "partitions",
            Self::Workers => "workers",
            Self::Dispatchers => "dispatchers",
            Self::Two => "two",
            Self::Store => "store",
            Self::Everything => "everything",
        }
    }

    /// The profile with a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// What may go wrong in a schedule of this kind.
    pub(super) fn weather(self, random: &mut Random) -> Weather {
        use FaultKind::{
            ClockJump, Disconnect, DispatcherDrain, DispatcherHang, DispatcherKill, Forgery, Partition, StoreAway,
            StoreClockJump, WorkerDrain, WorkerHang, WorkerKill,
        };
        let calm = Weather { longest: 15_000, ..Weather::default() };
        match self {
            Self::Calm => calm,
            Self::Lossy => Weather {
                drops: random.count(0, 30),
                repeats: random.count(0, 60),
                reorders: random.count(0, 100),
                forgeries: 1,
                faults: &[Disconnect, Disconnect, Forgery],
                most_faults: 12,
                ..calm
            },
            Self::Partitions => {
                Weather { longest: 50_000, faults: &[Partition, Partition, Disconnect], most_faults: 6, ..calm }
            }
            Self::Workers => Weather {
                longest: 50_000,
                faults: &[WorkerKill, WorkerKill, WorkerHang, WorkerHang, WorkerDrain, Disconnect],
                most_faults: 8,
                ..calm
            },
            Self::Dispatchers => Weather {
                longest: 50_000,
                faults: &[DispatcherKill, DispatcherKill, DispatcherHang, DispatcherDrain, ClockJump, WorkerKill],
                most_faults: 6,
                ..calm
            },
            Self::Two => Weather {
                longest: 60_000,
                two_dispatchers: true,
                faults: &[DispatcherKill, DispatcherHang, DispatcherHang, DispatcherDrain, StoreClockJump, WorkerKill],
                most_faults: 6,
                ..calm
            },
            Self::Store => Weather {
                longest: 40_000,
                two_dispatchers: random.chance(200),
                refuses: random.count(0, 200),
                loses_answers: random.count(0, 200),
                late: random.count(0, 100),
                faults: &[StoreAway, StoreAway, DispatcherKill],
                most_faults: 4,
                ..calm
            },
            Self::Everything => {
                let adversarial = random.chance(300);
                Weather {
                    longest: 60_000,
                    two_dispatchers: random.chance(500),
                    drops: if adversarial { random.count(0, 20) } else { 0 },
                    repeats: if adversarial { random.count(0, 40) } else { 0 },
                    reorders: if adversarial { random.count(0, 60) } else { 0 },
                    forgeries: u32::from(adversarial),
                    refuses: random.count(0, 80),
                    loses_answers: random.count(0, 80),
                    late: random.count(0, 50),
                    faults: &[
                        Disconnect,
                        Partition,
                        WorkerKill,
                        WorkerHang,
                        WorkerDrain,
                        DispatcherKill,
                        DispatcherHang,
                        DispatcherDrain,
                        ClockJump,
                        StoreAway,
                        StoreClockJump,
                    ],
                    most_faults: 14,
                }
            }
        }
    }
}

/// What may go wrong in a schedule. Likelihoods are of a thousand.
#[derive(Clone, Debug, Default)]
pub(super) struct Weather {
    /// Longest time until all faults are over.
    pub(super) longest: Ms,
    /// Whether two dispatchers share the store.
    pub(super) two_dispatchers: bool,
    /// Messages that are lost without notice.
    pub(super) drops: u32,
    /// Messages that arrive twice.
    pub(super) repeats: u32,
    /// Messages that arrive out of order.
    pub(super) reorders: u32,
    /// Whether workers make messages up.
    pub(super) forgeries: u32,
    /// Calls that the store fails with nothing done.
    pub(super) refuses: u32,
    /// Calls that the store carries out and whose answer is lost.
    pub(super) loses_answers: u32,
    /// Calls that are given up and carried out later all the same.
    pub(super) late: u32,
    /// What else breaks.
    pub(super) faults: &'static [FaultKind],
    /// Most of these.
    pub(super) most_faults: u32,
}
