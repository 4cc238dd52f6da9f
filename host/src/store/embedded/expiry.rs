//! What goes when its time is over: ended tasks, tombstones, idempotency keys.

use super::database::{
    EXPIRING, Failure, KEY_TIMES, KEYS, PAYLOAD_INPUT, PAYLOAD_LOGS, PAYLOAD_RESULT, TOMBSTONE_TIMES, TOMBSTONES,
};
use super::transition::Group;
use crate::store::types::{IDEMPOTENCY_WINDOW_MS, TOMBSTONE_MS};

/// Most tasks, tombstones and keys each that one step deletes: other requests get their turn in
/// between.
pub(super) const EXPIRED_AT_ONCE: usize = 500;

impl Group<'_> {
    /// Deletes up to [`EXPIRED_AT_ONCE`] tasks whose time is over, and tombstones and keys whose
    /// time is; returns how many tasks went.
    pub(super) fn expire(&mut self, now_ms: u64, ttl_ms: u64) -> Result<usize, Failure> {
        let mut expired = Vec::new();
        // A task ended at `t` lives until `t + ttl`, both tables' last moment included.
        if let Some(until) = now_ms.checked_sub(ttl_ms) {
            for entry in self.ended.extract_from_if(..(until, [0; 16]), |_, ()| true)?.take(EXPIRED_AT_ONCE) {
                expired.push(entry?.0.value().1);
            }
        }
        let mut expiring = self.transaction.open_table(EXPIRING)?;
        for entry in expiring.extract_from_if(..(now_ms, [0; 16]), |_, ()| true)?.take(EXPIRED_AT_ONCE - expired.len())
        {
            expired.push(entry?.0.value().1);
        }
        drop(expiring);
        for id in &expired {
            self.delete(*id, now_ms)?;
        }
        self.forget_tombstones(now_ms)?;
        self.forget_keys(now_ms)?;
        self.changed |= !expired.is_empty();
        Ok(expired.len())
    }

    fn delete(&mut self, id: [u8; 16], now_ms: u64) -> Result<(), Failure> {
        self.tasks.remove(id)?;
        self.states.remove(id)?;
        for payload in [PAYLOAD_INPUT, PAYLOAD_RESULT, PAYLOAD_LOGS] {
            self.payloads.remove((id, payload))?;
        }
        self.transaction.open_table(TOMBSTONES)?.insert(id, now_ms)?;
        self.transaction.open_table(TOMBSTONE_TIMES)?.insert((now_ms, id), ())?;
        Ok(())
    }

    fn forget_tombstones(&mut self, now_ms: u64) -> Result<(), Failure> {
        let Some(until) = now_ms.checked_sub(TOMBSTONE_MS) else { return Ok(()) };
        let mut tombstones = self.transaction.open_table(TOMBSTONES)?;
        let mut times = self.transaction.open_table(TOMBSTONE_TIMES)?;
        for entry in times.extract_from_if(..(until, [0; 16]), |_, ()| true)?.take(EXPIRED_AT_ONCE) {
            tombstones.remove(entry?.0.value().1)?;
            self.changed = true;
        }
        Ok(())
    }

    fn forget_keys(&mut self, now_ms: u64) -> Result<(), Failure> {
        let Some(until) = now_ms.checked_sub(IDEMPOTENCY_WINDOW_MS) else { return Ok(()) };
        let mut keys = self.transaction.open_table(KEYS)?;
        let mut times = self.transaction.open_table(KEY_TIMES)?;
        for entry in times.extract_from_if(..(until, [0; 32]), |_, ()| true)?.take(EXPIRED_AT_ONCE) {
            keys.remove(entry?.0.value().1)?;
            self.changed = true;
        }
        Ok(())
    }
}
