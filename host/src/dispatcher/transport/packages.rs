//! Packages on their way to workers: each is read from the store once for all who ask for it, and kept
//! while it is asked for.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bulkhead_protocol::id::{PackageId, WorkerId};
use bulkhead_protocol::limits::MAX_PACKAGE_BYTES;
use bytes::Bytes;
use tokio::time::Instant;

use crate::link::PeerId;

/// Bytes of packages that are kept. Two of the largest fit.
const MAX_KEPT_BYTES: u64 = 2 * MAX_PACKAGE_BYTES;

/// Packages that are read from the store at once; the others wait for their turn.
const MAX_READS: usize = 2;

/// How long a package is kept after it was last asked for.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// A part of a package that a worker asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dispatcher) struct Request {
    /// Who asked.
    pub(in crate::dispatcher) worker: WorkerId,
    /// On which connection.
    pub(in crate::dispatcher) peer: PeerId,
    /// The first byte.
    pub(in crate::dispatcher) offset: u64,
    /// How many chunks from there.
    pub(in crate::dispatcher) chunks: u32,
}

/// What follows a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dispatcher) enum Asked {
    /// The package is here.
    Here(Bytes),
    /// It is to be read from the store, and [`Packages::read`] to be told of it.
    Read,
    /// It is being read, or will be after others.
    Wait,
}

/// Packages on their way to workers.
#[derive(Debug, Default)]
pub(in crate::dispatcher) struct Packages {
    /// Those that are here, with when they were last asked for.
    kept: HashMap<PackageId, (Bytes, Instant)>,
    /// Those that are being read or wait for it, with who waits. Bounded by what each worker may ask for.
    wanted: HashMap<PackageId, Vec<Request>>,
    /// Those of them that wait for their turn.
    queue: VecDeque<PackageId>,
    /// Packages that are being read.
    reads: usize,
}

impl Packages {
    /// A worker asks for a part of a package.
    pub(in crate::dispatcher) fn ask(&mut self, package: PackageId, request: Request) -> Asked {
        if let Some((bytes, asked)) = self.kept.get_mut(&package) {
            *asked = Instant::now();
            return Asked::Here(bytes.clone());
        }
        if let Some(waiting) = self.wanted.get_mut(&package) {
            waiting.push(request);
            return Asked::Wait;
        }
        self.wanted.insert(package, vec![request]);
        if self.reads < MAX_READS {
            self.reads += 1;
            return Asked::Read;
        }
        self.queue.push_back(package);
        Asked::Wait
    }

    /// The store has answered. Returns who waits for the package, and the package to read next.
    pub(in crate::dispatcher) fn read(
        &mut self,
        package: PackageId,
        bytes: Option<&Bytes>,
    ) -> (Vec<Request>, Option<PackageId>) {
        if let Some(bytes) = bytes {
            self.keep(package, bytes.clone());
        }
        let next = self.queue.pop_front();
        if next.is_none() {
            self.reads -= 1;
        }
        (self.wanted.remove(&package).unwrap_or_default(), next)
    }

    fn keep(&mut self, package: PackageId, bytes: Bytes) {
        self.kept.insert(package, (bytes, Instant::now()));
        while self.kept.values().map(|(bytes, _)| bytes.len() as u64).sum::<u64>() > MAX_KEPT_BYTES {
            let oldest = self.kept.iter().min_by_key(|(_, (_, asked))| *asked).map(|(package, _)| *package);
            match oldest {
                // One alone is always kept, so that its parts are not read one by one.
                Some(oldest) if oldest != package => self.kept.remove(&oldest),
                _ => return,
            };
        }
    }

    /// Drops what nobody asked for in a while.
    pub(in crate::dispatcher) fn tidy(&mut self) {
        self.kept.retain(|_, (_, asked)| asked.elapsed() < KEPT_FOR);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn package(number: u8) -> PackageId {
        PackageId([number; 32])
    }

    fn request(worker: u128) -> Request {
        Request { worker: WorkerId(Uuid::from_u128(worker)), peer: PeerId::for_tests(1), offset: 0, chunks: 1 }
    }

    #[test]
    fn a_package_is_read_once_for_all_who_ask_and_few_at_a_time() {
        let mut packages = Packages::default();
        assert_eq!(packages.ask(package(1), request(1)), Asked::Read);
        assert_eq!(packages.ask(package(1), request(2)), Asked::Wait);
        assert_eq!(packages.ask(package(2), request(1)), Asked::Read);
        assert_eq!(packages.ask(package(3), request(1)), Asked::Wait);
        let bytes = Bytes::from_static(b"p");
        let waiting = packages.read(package(1), Some(&bytes));
        assert_eq!(waiting, (vec![request(1), request(2)], Some(package(3))));
        assert_eq!(packages.ask(package(1), request(3)), Asked::Here(bytes));
        // What is not there is looked for again when it is asked for again.
        assert_eq!(packages.read(package(2), None), (vec![request(1)], None));
        assert_eq!(packages.ask(package(2), request(1)), Asked::Read);
    }

    #[test]
    fn what_was_asked_for_the_longest_ago_goes_first() {
        let mut packages = Packages::default();
        let half = Bytes::from(vec![0; usize::try_from(MAX_KEPT_BYTES / 2).unwrap()]);
        for number in 1..=2 {
            assert_eq!(packages.ask(package(number), request(1)), Asked::Read);
            packages.read(package(number), Some(&half));
        }
        assert!(matches!(packages.ask(package(1), request(1)), Asked::Here(_)));
        assert_eq!(packages.ask(package(3), request(1)), Asked::Read);
        packages.read(package(3), Some(&Bytes::from_static(b"p")));
        assert!(matches!(packages.ask(package(1), request(1)), Asked::Here(_)));
        assert!(matches!(packages.ask(package(3), request(1)), Asked::Here(_)));
        assert_eq!(packages.ask(package(2), request(1)), Asked::Read);
    }
}
