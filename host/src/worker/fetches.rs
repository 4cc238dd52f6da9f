//! Packages on their way from the dispatcher, chunk by chunk. A state machine: it is told what came
//! and what time it is, and says what to ask for. Nothing is verified here but the shape of what comes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bulkhead_protocol::id::PackageId;
use bulkhead_protocol::limits::MAX_PACKAGE_BYTES;
use bulkhead_protocol::worker_message::{CHUNK_BYTES, MAX_CHUNKS_ASKED, ToDispatcher};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::package_cache::TransferError;

/// Packages that are transferred at once; each may need its size in memory. Others wait.
const MAX_AT_ONCE: usize = 4;
/// Chunks on their way at which more are asked for, so that the next come before the last are used up.
const ASK_MORE_AT: u32 = MAX_CHUNKS_ASKED / 2;
/// First and longest wait before a package that cannot be had now is asked for again.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How long a package is waited for while nothing comes of it although there is a connection.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// Who needs a package, and gets it.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Which.
    pub(super) package: PackageId,
    /// Who waits.
    pub(super) answer: oneshot::Sender<Result<Bytes, TransferError>>,
}

/// All transfers.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    /// Under way.
    transfers: BTreeMap<PackageId, Transfer>,
    /// Waiting for their turn. Nobody asks for a package twice at once, so there are at most as many as
    /// attempts begin at once.
    queued: VecDeque<Wanted>,
    /// Whether there is a connection to ask over.
    is_connected: bool,
}

/// One package on its way.
#[derive(Debug)]
struct Transfer {
    /// Who waits for it.
    answer: oneshot::Sender<Result<Bytes, TransferError>>,
    /// The package as far as it is there; empty until the first chunk tells its size.
    bytes: Vec<u8>,
    /// Which chunks are there.
    received: Vec<bool>,
    /// How many chunks are missing; none until the size is known.
    missing: Option<usize>,
    /// Every missing chunk before this one was asked for on this connection.
    asked: usize,
    /// How many of those are on their way.
    on_their_way: u32,
    /// When to ask again, after it could not be had.
    ask_again: Option<Instant>,
    /// When to give up, unless something comes; never without a connection.
    give_up: Option<Instant>,
    /// How often it could not be had in a row.
    refusals: u32,
    /// Why it could not be had the last time.
    refusal: Option<String>,
}

impl Fetches {
    /// Begins a transfer, now or when its turn comes.
    pub(super) fn begin(&mut self, now: Instant, wanted: Wanted, out: &mut Vec<ToDispatcher>) {
        self.queued.push_back(wanted);
        self.begin_queued(now, out);
    }

    fn begin_queued(&mut self, now: Instant, out: &mut Vec<ToDispatcher>) {
        while self.transfers.len() < MAX_AT_ONCE
            && let Some(Wanted { package, answer }) = self.queued.pop_front()
        {
            let mut transfer = Transfer::new(answer);
            if self.is_connected {
                transfer.ask_anew(now, package, out);
            }
            self.transfers.insert(package, transfer);
        }
    }

    /// There is a new connection: what is missing is asked for over it.
    pub(super) fn connected(&mut self, now: Instant, out: &mut Vec<ToDispatcher>) {
        self.is_connected = true;
        for (package, transfer) in &mut self.transfers {
            transfer.ask_anew(now, *package, out);
        }
    }

    /// The connection is gone. What came over it is kept.
    pub(super) fn disconnected(&mut self) {
        self.is_connected = false;
        for transfer in self.transfers.values_mut() {
            (transfer.ask_again, transfer.give_up) = (None, None);
        }
    }

    /// A part of a package came.
    pub(super) fn chunk(
        &mut self,
        now: Instant,
        package: PackageId,
        (offset, total): (u64, u64),
        bytes: &[u8],
        out: &mut Vec<ToDispatcher>,
    ) {
        // Of a transfer that is over: it was asked for twice.
        let Some(transfer) = self.transfers.get_mut(&package) else { return };
        match transfer.take(offset, total, bytes) {
            Ok(false) => {
                transfer.refusals = 0;
                transfer.give_up = Some(now + GIVE_UP_AFTER);
                transfer.ask_more(package, out);
            }
            Ok(true) => self.end(now, package, |transfer| Ok(transfer.bytes.into()), out),
            Err(what) => self.end(now, package, |_| Err(TransferError::Refused { what }), out),
        }
    }

    /// A package cannot be had, now or ever.
    pub(super) fn refused(
        &mut self,
        now: Instant,
        package: PackageId,
        (reason, retryable): (String, bool),
        out: &mut Vec<ToDispatcher>,
    ) {
        let Some(transfer) = self.transfers.get_mut(&package) else { return };
        if !retryable {
            return self.end(now, package, |_| Err(TransferError::Unknown { reason }), out);
        }
        let (first, longest) = ASK_AGAIN;
        transfer.ask_again = Some(now + (first * 2u32.saturating_pow(transfer.refusals.min(16))).min(longest));
        transfer.refusals = transfer.refusals.saturating_add(1);
        transfer.refusal = Some(reason);
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant, out: &mut Vec<ToDispatcher>) {
        let due = self.transfers.iter().filter(|(_, transfer)| transfer.next_wake().is_some_and(|at| at <= now));
        let due: Vec<PackageId> = due.map(|(package, _)| *package).collect();
        for package in due {
            let Some(transfer) = self.transfers.get_mut(&package) else { continue };
            if transfer.give_up.is_some_and(|at| at <= now) {
                let nothing = || format!("the dispatcher sent nothing of it for {} s", GIVE_UP_AFTER.as_secs());
                let reason = transfer.refusal.take().unwrap_or_else(nothing);
                self.end(now, package, |_| Err(TransferError::Unavailable { reason }), out);
            } else {
                transfer.ask_anew(now, package, out);
            }
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.transfers.values().filter_map(Transfer::next_wake).min()
    }

    /// Ends all of them without a package.
    pub(super) fn abandon(&mut self, reason: &str) {
        let waiting = std::mem::take(&mut self.transfers).into_values().map(|transfer| transfer.answer);
        let queued = std::mem::take(&mut self.queued).into_iter().map(|wanted| wanted.answer);
        for answer in waiting.chain(queued) {
            let _ = answer.send(Err(TransferError::Unavailable { reason: reason.to_owned() }));
        }
    }

    fn end(
        &mut self,
        now: Instant,
        package: PackageId,
        answer: impl FnOnce(Whole) -> Result<Bytes, TransferError>,
        out: &mut Vec<ToDispatcher>,
    ) {
        if let Some(Transfer { answer: waits, bytes, .. }) = self.transfers.remove(&package) {
            // Whoever asked may be gone.
            let _ = waits.send(answer(Whole { bytes }));
        }
        self.begin_queued(now, out);
    }
}

/// What came.
struct Whole {
    bytes: Vec<u8>,
}

impl Transfer {
    fn new(answer: oneshot::Sender<Result<Bytes, TransferError>>) -> Self {
        Self {
            answer,
            bytes: Vec::new(),
            received: Vec::new(),
            missing: None,
            asked: 0,
            on_their_way: 0,
            ask_again: None,
            give_up: None,
            refusals: 0,
            refusal: None,
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        [self.ask_again, self.give_up].into_iter().flatten().min()
    }

    /// Takes a chunk; gives whether the package is whole with it.
    fn take(&mut self, offset: u64, total: u64, bytes: &[u8]) -> Result<bool, String> {
        if self.missing.is_none() {
            self.size(total)?;
        }
        if total != self.bytes.len() as u64 {
            return Err(format!("its size changed from {} to {total} bytes", self.bytes.len()));
        }
        if !offset.is_multiple_of(CHUNK_BYTES) || offset >= total {
            return Err(format!("no chunk of {total} bytes begins at {offset}"));
        }
        let expected = (total - offset).min(CHUNK_BYTES);
        if bytes.len() as u64 != expected {
            return Err(format!("the chunk at {offset} has {} bytes in place of {expected}", bytes.len()));
        }
        // Both fit: they are within the package's size.
        let (chunk, start) = ((offset / CHUNK_BYTES) as usize, offset as usize);
        if !std::mem::replace(&mut self.received[chunk], true) {
            self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
            self.missing = self.missing.map(|missing| missing - 1);
            if chunk < self.asked {
                self.on_their_way = self.on_their_way.saturating_sub(1);
            }
        }
        Ok(self.missing == Some(0))
    }

    /// The first chunk tells the size.
    fn size(&mut self, total: u64) -> Result<(), String> {
        if !(1..=MAX_PACKAGE_BYTES).contains(&total) {
            return Err(format!("a package has 1 to {MAX_PACKAGE_BYTES} bytes, not {total}"));
        }
        // Fits: it is at most MAX_PACKAGE_BYTES. The system gives pages of it only as they are written.
        self.bytes = vec![0; total as usize];
        self.received = vec![false; total.div_ceil(CHUNK_BYTES) as usize];
        self.missing = Some(self.received.len());
        self.asked = self.asked.min(self.received.len());
        self.on_their_way = self.asked as u32;
        Ok(())
    }

    /// Asks for what is missing from the beginning.
    fn ask_anew(&mut self, now: Instant, package: PackageId, out: &mut Vec<ToDispatcher>) {
        (self.asked, self.on_their_way) = (0, 0);
        self.ask_again = None;
        self.give_up.get_or_insert(now + GIVE_UP_AFTER);
        self.ask_more(package, out);
    }

    /// Asks for more where few are on their way.
    fn ask_more(&mut self, package: PackageId, out: &mut Vec<ToDispatcher>) {
        if self.missing.is_none() {
            // The size is not known yet; a shorter package simply has fewer.
            if self.asked == 0 {
                (self.asked, self.on_their_way) = (MAX_CHUNKS_ASKED as usize, MAX_CHUNKS_ASKED);
                out.push(ToDispatcher::Fetch { package, offset: 0, chunks: MAX_CHUNKS_ASKED });
            }
            return;
        }
        if self.on_their_way > ASK_MORE_AT {
            return;
        }
        while self.on_their_way < MAX_CHUNKS_ASKED
            && let Some(gap) = self.received[self.asked..].iter().position(|received| !received)
        {
            let first = self.asked + gap;
            let room = (MAX_CHUNKS_ASKED - self.on_their_way) as usize;
            let run = self.received[first..].iter().take(room).take_while(|received| !**received).count();
            self.asked = first + run;
            self.on_their_way += run as u32;
            out.push(ToDispatcher::Fetch { package, offset: first as u64 * CHUNK_BYTES, chunks: run as u32 });
        }
    }
}

#[cfg(test)]
mod tests;
