//! The file on disk: its tables, how it is opened, and what its failures mean. The rest of the
//! embedded store sees transactions only.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, TryLockError};

use redb::{Database, Durability, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction};

use crate::store::types::Error;

type Id = [u8; 16];

/// Task id → immutable record, [`super::record::TaskRecord`].
pub(super) const TASKS: TableDefinition<Id, &[u8]> = TableDefinition::new("tasks");
/// Task id → mutable record, [`super::record::StateRecord`].
pub(super) const STATES: TableDefinition<Id, &[u8]> = TableDefinition::new("states");
/// Task id and one of the `PAYLOAD_` numbers → bytes.
pub(super) const PAYLOADS: TableDefinition<(Id, u8), &[u8]> = TableDefinition::new("payloads");
/// Priority, function, number → task id: all tasks that have not ended and whose time has come,
/// those that run included, so that this table alone is what a restart queues again.
pub(super) const QUEUE: TableDefinition<(u8, Id, u64), Id> = TableDefinition::new("queue");
/// Time, number → task id: tasks whose time has not come.
pub(super) const DELAYED: TableDefinition<(u64, u64), Id> = TableDefinition::new("delayed");
/// Time of the end, task id: ended tasks that live as long as the server says.
pub(super) const ENDED: TableDefinition<(u64, Id), ()> = TableDefinition::new("ended");
/// Time to expire, task id: ended tasks with a time to live of their own.
pub(super) const EXPIRING: TableDefinition<(u64, Id), ()> = TableDefinition::new("expiring");
/// SHA-256 of an idempotency key → task id, time of submission, digest of function and input.
pub(super) const KEYS: TableDefinition<[u8; 32], (Id, u64, [u8; 32])> = TableDefinition::new("idempotency_keys");
/// Time of submission, SHA-256 of the key: the order in which keys are forgotten.
pub(super) const KEY_TIMES: TableDefinition<(u64, [u8; 32]), ()> = TableDefinition::new("idempotency_times");
/// Task id → when it expired.
pub(super) const TOMBSTONES: TableDefinition<Id, u64> = TableDefinition::new("tombstones");
/// When it expired, task id: the order in which tombstones go.
pub(super) const TOMBSTONE_TIMES: TableDefinition<(u64, Id), ()> = TableDefinition::new("tombstone_times");
/// Function id → record.
pub(super) const FUNCTIONS: TableDefinition<Id, &[u8]> = TableDefinition::new("functions");
/// Function name → versions and aliases, [`super::functions::Name`].
pub(super) const NAMES: TableDefinition<&str, &[u8]> = TableDefinition::new("names");

/// In [`PAYLOADS`]: the input of the task.
pub(super) const PAYLOAD_INPUT: u8 = 0;
/// In [`PAYLOADS`]: its result.
pub(super) const PAYLOAD_RESULT: u8 = 1;
/// In [`PAYLOADS`]: its logs.
pub(super) const PAYLOAD_LOGS: u8 = 2;

/// Pages that the engine keeps in memory, in bytes; the kernel's page cache stands behind it. Point
/// reads over 350,000 tasks: 378,000 per second with this, so more buys nothing.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Why a transaction came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The engine or the disk; the file must be opened anew.
    #[error("{0}")]
    Engine(#[from] redb::Error),
    /// A record that cannot be read or written.
    #[error("{0}")]
    Record(String),
}

impl Failure {
    pub(super) fn codec(error: bulkhead_protocol::codec::Error) -> Self {
        Self::Record(error.to_string())
    }

    pub(super) fn record(what: &str) -> Self {
        Self::Record(format!("a record {what}"))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Unavailable { reason: failure.to_string() }
    }
}

macro_rules! engine_failures {
    ($($error:ident),+) => {
        $(impl From<redb::$error> for Failure {
            fn from(error: redb::$error) -> Self {
                Self::Engine(error.into())
            }
        })+
    };
}
engine_failures!(StorageError, TableError, TransactionError, CommitError, DatabaseError, SetDurabilityError);

/// The open file. Can be closed and opened anew behind the backs of all who use it.
pub(super) struct File {
    /// Where it is.
    path: PathBuf,
    /// None once closed, and between a failure and the next successful opening.
    database: RwLock<Option<Database>>,
}

impl File {
    /// Opens or makes the file and all its tables.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self { path: path.to_owned(), database: RwLock::new(Some(open(path)?)) })
    }

    /// Runs `read` on a snapshot of the latest commit.
    pub(super) fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, Failure>) -> Result<T, Error> {
        // Never waits: whoever asks while the file is being opened anew gets a 503 at once.
        let database = match self.database.try_read() {
            Ok(database) => database,
            Err(TryLockError::Poisoned(database)) => database.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(closed()),
        };
        let database = database.as_ref().ok_or_else(closed)?;
        let transaction = database.begin_read().map_err(Failure::from)?;
        Ok(read(&transaction)?)
    }

    /// Runs `write` in a transaction and makes it durable, unless it says that nothing changed.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(T, Changed), Failure>,
    ) -> Result<T, Failure> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| Failure::Record("the file is closed".to_owned()))?;
        let mut transaction = database.begin_write()?;
        // The engine's default; said here because acknowledging rests on it.
        transaction.set_durability(Durability::Immediate)?;
        let (value, changed) = write(&transaction)?;
        match changed {
            Changed::Yes => transaction.commit()?,
            Changed::No => transaction.abort()?,
        }
        Ok(value)
    }

    /// Closes the file: on return nothing of it is pending.
    pub(super) fn close(&self) {
        self.database.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Closes the file and opens it again, which the engine demands after a failed write. What was
    /// committed is there, what failed is not.
    pub(super) fn reopen(&self) -> Result<(), Failure> {
        // Without room for a few pages the opening itself would fail and take the reads down too.
        probe(&self.path.with_extension("probe")).map_err(redb::Error::from)?;
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The engine locks the file, so the old handle must go first.
        database.take();
        *database = Some(open(&self.path)?);
        Ok(())
    }
}

/// Whether a transaction is worth a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// It wrote.
    Yes,
    /// It only read.
    No,
}

fn open(path: &Path) -> Result<Database, Failure> {
    let database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
    let transaction = database.begin_write()?;
    // Readers may then count on every table.
    transaction.open_table(TASKS)?;
    transaction.open_table(STATES)?;
    transaction.open_table(PAYLOADS)?;
    transaction.open_table(QUEUE)?;
    transaction.open_table(DELAYED)?;
    transaction.open_table(ENDED)?;
    transaction.open_table(EXPIRING)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(KEY_TIMES)?;
    transaction.open_table(TOMBSTONES)?;
    transaction.open_table(TOMBSTONE_TIMES)?;
    transaction.open_table(FUNCTIONS)?;
    transaction.open_table(NAMES)?;
    transaction.commit()?;
    Ok(database)
}

fn probe(path: &Path) -> std::io::Result<()> {
    /// More than the engine writes to open a file.
    const PROBE_BYTES: usize = 1024 * 1024;
    let written = std::fs::File::create(path).and_then(|mut file| {
        std::io::Write::write_all(&mut file, &vec![0; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = std::fs::remove_file(path);
    written.and(removed)
}

fn closed() -> Error {
    Error::Unavailable { reason: "the store's file is closed or being opened anew".to_owned() }
}
