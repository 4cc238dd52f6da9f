//! Counts again what is counted as it goes, for tests.

use std::collections::BTreeMap;

use super::Dispatcher;
use super::drain::Drain;
use super::task::State;

impl Dispatcher {
    /// Goes through everything and panics where two places contradict each other, or a task waits that
    /// could run. Takes time in proportion to what is in hand.
    ///
    /// # Panics
    /// When the state machine is broken.
    #[doc(hidden)]
    pub fn audit(&self) {
        let (mut waiting, mut running, mut orphaned, mut recording, mut bytes) = (0, 0, 0, 0, 0);
        let mut by_function = BTreeMap::new();
        let mut owed = BTreeMap::new();
        for (task, entry) in &self.tasks {
            assert!(!self.asked.contains_key(task), "{task} is in hand while the store decides over it");
            match &entry.state {
                State::New => panic!("{task} is undecided"),
                State::Waiting { .. } => waiting += 1,
                State::Running { worker, .. } => {
                    running += 1;
                    *by_function.entry(entry.arrival.function).or_insert(0) += 1;
                    let has = self.pool.has_attempt(*worker, *task, entry.arrival.attempt);
                    assert!(has, "{task} runs on {worker}, which does not have it");
                }
                State::Orphaned { worker, .. } => {
                    orphaned += 1;
                    assert!(self.orphans.contains(*worker, *task), "{task} is an orphan that nobody looks for");
                }
                State::Recording(record) => {
                    recording += 1;
                    bytes += record.bytes;
                    if let Some(worker) = record.reporter {
                        *owed.entry(worker).or_insert(0) += 1;
                    }
                }
            }
        }
        assert_eq!(self.tasks.values().filter(|entry| entry.brought).count(), self.brought);
        let (claims, held) = self.audit_recoveries(&mut owed);
        assert_eq!(claims, self.in_hand.len());
        assert_eq!(bytes + held, self.unrecorded_bytes);
        assert_eq!(owed, self.owed);
        assert_eq!((waiting, running, orphaned), (self.queue.waiting(), self.running, self.orphans.len()));
        assert_eq!(recording, self.recording);
        self.queue.audit(&by_function);
        self.pool.audit();
        let may_run = self.drain == Drain::No && self.unrecorded_bytes < self.config.unrecorded_bytes;
        let stuck = self.queue.next().filter(|_| may_run).and_then(|function| self.pool.choose(function));
        assert_eq!(stuck, None, "a task waits that could run there");
    }
}
