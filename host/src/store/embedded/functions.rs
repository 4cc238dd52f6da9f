//! Functions, their versions and aliases. Names are held in memory, so that a reference costs no
//! read; the records of functions are read once and then kept, up to a bound.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bulkhead_protocol::function::{Function, FunctionRef};
use bulkhead_protocol::id::{FunctionId, PackageId};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::committer::Reply;
use super::database::{Changed, FUNCTIONS, Failure, NAMES};
use super::record::{decode_versioned, versioned};
use crate::store::types::{Error, NewFunction, Registered, Transition};

/// Most function records that are kept in memory.
const MAX_CACHED: usize = 4096;

/// All that is known of a name. The record stays when the last version goes, so that its number
/// is never given again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Name {
    /// The highest version number ever given.
    last: u32,
    /// The versions that are there.
    versions: BTreeMap<u32, FunctionId>,
    /// Aliases to versions that are there.
    aliases: BTreeMap<String, u32>,
}

/// What is held in memory of the functions.
#[derive(Default)]
pub(super) struct Registry {
    /// All names.
    names: BTreeMap<String, Name>,
    /// How many functions each package holds up.
    uses: HashMap<PackageId, usize>,
    /// Packages that were stored for a registration that is still to come, how often: they stay
    /// though no function uses them yet.
    expected: HashMap<PackageId, usize>,
    /// Records read or written lately.
    cache: HashMap<FunctionId, Arc<Function>>,
}

/// A change of the functions, on its way to the committer.
pub(super) enum Registration {
    /// See [`crate::store::Store::register`].
    Register { functions: Vec<NewFunction>, reply: Reply<Vec<Registered>> },
    /// See [`crate::store::Store::remove_function`].
    Remove { id: FunctionId, reply: Reply<bool> },
    /// See [`crate::store::Store::set_alias`].
    Alias { name: String, alias: String, version: u32, reply: Reply<Transition> },
}

impl Registration {
    /// Does it and answers.
    ///
    /// # Errors
    /// When the engine failed and the file must be opened anew.
    pub(super) fn carry_out(self, shared: &Shared) -> Result<(), Failure> {
        match self {
            Self::Register { functions, reply } => answer(reply, register(shared, functions)),
            Self::Remove { id, reply } => answer(reply, remove(shared, id)),
            Self::Alias { name, alias, version, reply } => answer(reply, set_alias(shared, &name, alias, version)),
        }
    }

    /// Answers that nothing was done.
    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Register { reply, .. } => drop(reply.send(Err(error))),
            Self::Remove { reply, .. } => drop(reply.send(Err(error))),
            Self::Alias { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, Failure>) -> Result<(), Failure> {
    let (answer, result) = match result {
        Ok(value) => (Ok(value), Ok(())),
        Err(failure) => {
            let answer = Err(Error::Unavailable { reason: failure.to_string() });
            (answer, if matches!(failure, Failure::Engine(_)) { Err(failure) } else { Ok(()) })
        }
    };
    // The caller may have gone; what was committed stays.
    let _ = reply.send(answer);
    result
}

fn register(shared: &Shared, functions: Vec<NewFunction>) -> Result<Vec<Registered>, Failure> {
    let packages: BTreeSet<PackageId> = functions.iter().map(|function| function.package).collect();
    for id in &packages {
        if !shared.folder.has_package(*id).map_err(redb::Error::from)? {
            return Err(Failure::Record(format!("package {id} is not stored")));
        }
    }
    let (registered, names) = shared.file.write(|transaction| {
        let mut names = BTreeMap::new();
        let mut registered = Vec::with_capacity(functions.len());
        for function in functions {
            let name = names.entry(function.name.clone()).or_insert_with(|| shared.registry().name(&function.name));
            registered.push(register_one(shared, transaction, name, function)?);
        }
        let mut table = transaction.open_table(NAMES)?;
        for (name, record) in &names {
            table.insert(name.as_str(), versioned(record)?.as_slice())?;
        }
        let created = registered.iter().any(|registered| registered.created);
        Ok(((registered, names), if created { Changed::Yes } else { Changed::No }))
    })?;
    let mut registry = shared.registry_mut();
    registry.names.extend(names);
    for Registered { function, created } in &registered {
        registry.remember(function.clone());
        *registry.uses.entry(function.package).or_default() += usize::from(*created);
    }
    packages.into_iter().for_each(|id| registry.expect_less(id));
    Ok(registered)
}

fn register_one(
    shared: &Shared,
    transaction: &WriteTransaction,
    name: &mut Name,
    new: NewFunction,
) -> Result<Registered, Failure> {
    let mut table = transaction.open_table(FUNCTIONS)?;
    if let Some((_, newest)) = name.versions.last_key_value() {
        let cached = shared.registry().cached(*newest);
        let newest = match cached {
            Some(function) => Some(function),
            None => table.get(newest.0.into_bytes())?.map(|bytes| decode(bytes.value())).transpose()?,
        };
        if let Some(function) = newest.filter(|newest| newest.package == new.package && newest.entry == new.entry) {
            return Ok(Registered { function, created: false });
        }
    }
    let NewFunction { name: named, package, index, entry, limits, isolation, description, registered_at_ms } = new;
    let id = FunctionId(uuid::Uuid::new_v4());
    let version = name.last + 1;
    let function =
        Function { id, name: named, version, package, index, entry, limits, isolation, description, registered_at_ms };
    table.insert(id.0.into_bytes(), versioned(&function)?.as_slice())?;
    name.last = version;
    name.versions.insert(version, id);
    Ok(Registered { function: Arc::new(function), created: true })
}

fn remove(shared: &Shared, id: FunctionId) -> Result<bool, Failure> {
    let removed = shared.file.write(|transaction| {
        let removed = transaction.open_table(FUNCTIONS)?.remove(id.0.into_bytes())?.map(|bytes| decode(bytes.value()));
        let Some(function) = removed.transpose()? else { return Ok((None, Changed::No)) };
        let mut name = shared.registry().name(&function.name);
        name.versions.remove(&function.version);
        name.aliases.retain(|_, version| *version != function.version);
        transaction.open_table(NAMES)?.insert(function.name.as_str(), versioned(&name)?.as_slice())?;
        Ok((Some((function, name)), Changed::Yes))
    })?;
    let Some((function, name)) = removed else { return Ok(false) };
    // The lock is held over the deletion: a registration that begins now finds the package either
    // expected and there, or gone and stores it again.
    let mut registry = shared.registry_mut();
    registry.names.insert(function.name.clone(), name);
    registry.cache.remove(&id);
    if registry.use_less(function.package) {
        shared.folder.remove_package(function.package);
    }
    Ok(true)
}

fn set_alias(shared: &Shared, name: &str, alias: String, version: u32) -> Result<Transition, Failure> {
    let mut record = shared.registry().name(name);
    if !record.versions.contains_key(&version) {
        return Ok(Transition::Stale);
    }
    record.aliases.insert(alias, version);
    shared.file.write(|transaction| {
        transaction.open_table(NAMES)?.insert(name, versioned(&record)?.as_slice())?;
        Ok(((), Changed::Yes))
    })?;
    shared.registry_mut().names.insert(name.to_owned(), record);
    Ok(Transition::Applied)
}

fn decode(bytes: &[u8]) -> Result<Arc<Function>, Failure> {
    decode_versioned(bytes).map(Arc::new)
}

impl Registry {
    /// Reads the names, and which packages are in use.
    pub(super) fn load(transaction: &ReadTransaction) -> Result<Self, Failure> {
        let mut registry = Self::default();
        for entry in transaction.open_table(NAMES)?.iter()? {
            let (name, record) = entry?;
            registry.names.insert(name.value().to_owned(), decode_versioned(record.value())?);
        }
        for entry in transaction.open_table(FUNCTIONS)?.iter()? {
            let function = decode(entry?.1.value())?;
            *registry.uses.entry(function.package).or_default() += 1;
        }
        Ok(registry)
    }

    /// Whether a function uses the package.
    pub(super) fn uses(&self, id: PackageId) -> bool {
        self.uses.contains_key(&id)
    }

    /// The id that a reference means.
    pub(super) fn resolve(&self, reference: &FunctionRef) -> Option<FunctionId> {
        match reference {
            FunctionRef::Id(id) => Some(*id),
            FunctionRef::Newest(name) => self.names.get(name)?.newest(),
            FunctionRef::Version(name, version) => self.names.get(name)?.versions.get(version).copied(),
            FunctionRef::Alias(name, alias) => {
                let name = self.names.get(name)?;
                name.versions.get(name.aliases.get(alias)?).copied()
            }
        }
    }

    /// The newest version of each name after `after`.
    pub(super) fn newest(&self, after: Option<&str>, limit: usize) -> Vec<FunctionId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.names.range::<str, _>((from, Unbounded)).filter_map(|(_, name)| name.newest()).take(limit).collect()
    }

    /// All versions of a name, the newest first.
    pub(super) fn versions(&self, name: &str) -> Vec<FunctionId> {
        self.names.get(name).map(|name| name.versions.values().rev().copied().collect()).unwrap_or_default()
    }

    /// The aliases of a name.
    pub(super) fn aliases(&self, name: &str) -> Vec<(String, u32)> {
        let aliases = self.names.get(name).into_iter().flat_map(|name| &name.aliases);
        aliases.map(|(alias, version)| (alias.clone(), *version)).collect()
    }

    /// The record of a function, when it is in memory.
    pub(super) fn cached(&self, id: FunctionId) -> Option<Arc<Function>> {
        self.cache.get(&id).cloned()
    }

    /// Keeps the record of a function that is still there.
    pub(super) fn remember(&mut self, function: Arc<Function>) {
        let known = self.names.get(&function.name).and_then(|name| name.versions.get(&function.version));
        if known != Some(&function.id) {
            return;
        }
        if self.cache.len() >= MAX_CACHED {
            // Rare enough that the next reads may pay for it.
            self.cache.clear();
        }
        self.cache.insert(function.id, function);
    }

    /// Keeps a package for a registration that is to come.
    pub(super) fn expect_more(&mut self, id: PackageId) {
        *self.expected.entry(id).or_default() += 1;
    }

    /// The registration came, or never will.
    pub(super) fn expect_less(&mut self, id: PackageId) {
        if let Some(count) = self.expected.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.expected.remove(&id);
            }
        }
    }

    /// One function less; whether the package is now to be deleted.
    fn use_less(&mut self, id: PackageId) -> bool {
        let Some(count) = self.uses.get_mut(&id) else { return false };
        *count -= 1;
        if *count > 0 {
            return false;
        }
        self.uses.remove(&id);
        !self.expected.contains_key(&id)
    }

    fn name(&self, name: &str) -> Name {
        self.names.get(name).cloned().unwrap_or_default()
    }
}

impl Name {
    fn newest(&self) -> Option<FunctionId> {
        self.versions.last_key_value().map(|(_, id)| *id)
    }
}

/// Reads a function from disk.
pub(super) fn read(transaction: &ReadTransaction, id: FunctionId) -> Result<Option<Arc<Function>>, Failure> {
    let table = transaction.open_table(FUNCTIONS)?;
    let bytes = table.get(id.0.into_bytes())?;
    bytes.map(|bytes| decode(bytes.value())).transpose()
}
