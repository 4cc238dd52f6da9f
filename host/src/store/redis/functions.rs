//! Functions, their versions and aliases. A function never changes, so its record is kept in memory; the
//! cache is believed only while word of removals arrives.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_protocol::function::{Function, FunctionRef};
use bulkhead_protocol::id::{FunctionId, PackageId};
use redis::Value;

use super::record::{bytes, decode, encode, text, unreadable};
use super::scripts::{ALIAS, REGISTER, REMOVE};
use super::shared::Shared;
use crate::store::types::{Error, NewFunction, Registered, Transition};

/// Most function records that are kept in memory.
const MAX_CACHED: usize = 4096;

/// Functions that were read lately.
#[derive(Default)]
pub(super) struct Cache(Mutex<Cached>);

/// What is kept.
#[derive(Default)]
struct Cached {
    /// Whether word of removals arrives.
    is_told: bool,
    /// Counts what may have made a record out of date that is being read.
    changes: u64,
    /// By id.
    functions: HashMap<FunctionId, Arc<Function>>,
}

impl Cache {
    /// From now on word of removals arrives.
    pub(super) fn trust(&self) {
        let mut cached = self.lock();
        cached.is_told = true;
        cached.changes += 1;
    }

    /// From now on it may not.
    pub(super) fn distrust(&self) {
        let mut cached = self.lock();
        *cached = Cached { changes: cached.changes + 1, ..Cached::default() };
    }

    /// A function was removed.
    pub(super) fn forget(&self, id: FunctionId) {
        let mut cached = self.lock();
        cached.changes += 1;
        cached.functions.remove(&id);
    }

    fn get(&self, id: FunctionId) -> Option<Arc<Function>> {
        self.lock().functions.get(&id).cloned()
    }

    fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Keeps a function that was read after `changes` of them.
    fn keep(&self, function: &Arc<Function>, changes: u64) {
        let mut cached = self.lock();
        if !cached.is_told || cached.changes != changes {
            return;
        }
        if cached.functions.len() >= MAX_CACHED {
            // Rare enough that the next reads may pay for it.
            cached.functions.clear();
        }
        cached.functions.insert(function.id, Arc::clone(function));
    }

    fn lock(&self) -> MutexGuard<'_, Cached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    pub(in crate::store) async fn register(&self, new: Vec<NewFunction>) -> Result<Vec<Registered>, Error> {
        let packages: BTreeSet<PackageId> = new.iter().map(|function| function.package).collect();
        for package in &packages {
            if !self.has_package(*package).await? {
                return Err(Error::Unavailable { reason: format!("package {package} is not stored") });
            }
        }
        // The version is the script's to give; the field beside the record says it.
        let functions: Vec<Function> = new.into_iter().map(unnumbered).collect();
        let records = functions.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        let mut call = REGISTER.call();
        for (function, record) in functions.iter().zip(&records) {
            call = call.bytes(function.name.as_bytes()).text(function.package);
            call = call.bytes(function.entry.as_bytes()).text(function.id).bytes(record);
        }
        let answer: Vec<Value> = self.run(call).await?;
        if let Some(b"missing") = bytes(answer.first()) {
            let digest: String = text(answer.get(1))?.unwrap_or_default();
            return Err(Error::Unavailable { reason: format!("package {digest} is not stored") });
        }
        packages.into_iter().for_each(|package| self.expected.less(package));
        let mut registered = Vec::with_capacity(functions.len());
        for (function, answer) in functions.into_iter().zip(&answer) {
            registered.push(self.registered(function, answer).await?);
        }
        Ok(registered)
    }

    async fn registered(&self, new: Function, answer: &Value) -> Result<Registered, Error> {
        let malformed = || unreadable("a registration's answer has another form");
        let Value::Array(answer) = answer else { return Err(malformed()) };
        let version = text(answer.get(2))?.ok_or_else(malformed)?;
        if let Some(Value::Int(1)) = answer.first() {
            return Ok(Registered { function: Arc::new(Function { version, ..new }), created: true });
        }
        let id: FunctionId = text(answer.get(1))?.ok_or_else(malformed)?;
        // It went between the two answers; the caller finds that out like anyone whose function goes.
        let function = self.function(id).await?.unwrap_or_else(|| Arc::new(Function { id, version, ..new }));
        Ok(Registered { function, created: false })
    }

    pub(in crate::store) async fn function(&self, id: FunctionId) -> Result<Option<Arc<Function>>, Error> {
        self.check_open()?;
        let cached = self.functions.get(id);
        if cached.is_some() {
            return Ok(cached);
        }
        let changes = self.functions.changes();
        let mut command = redis::cmd("HMGET");
        command.arg(self.key(&format!("function:{id}"))).arg("record").arg("version");
        let values: Vec<Value> = self.link.ask(&command).await?;
        let Some(record) = bytes(values.first()) else { return Ok(None) };
        let mut function: Function = decode(record)?;
        function.version = text(values.get(1))?.ok_or_else(|| unreadable("a function has no version"))?;
        let function = Arc::new(function);
        self.functions.keep(&function, changes);
        Ok(Some(function))
    }

    pub(in crate::store) async fn resolve(&self, reference: &FunctionRef) -> Result<Option<Arc<Function>>, Error> {
        let (name, field) = match reference {
            FunctionRef::Id(id) => return self.function(*id).await,
            FunctionRef::Newest(name) => (name, "newest".to_owned()),
            FunctionRef::Version(name, version) => (name, format!("v:{version}")),
            FunctionRef::Alias(name, alias) => (name, format!("a:{alias}")),
        };
        self.check_open()?;
        let found: Option<String> = self.link.ask(redis::cmd("HGET").arg(self.name_key(name)).arg(field)).await?;
        // An alias is written as its version and that version's id.
        match found.and_then(|found| found.rsplit(' ').next()?.parse().ok()) {
            Some(id) => self.function(id).await,
            None => Ok(None),
        }
    }

    pub(in crate::store) async fn functions(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Function>>, Error> {
        self.check_open()?;
        let after = after.map_or_else(|| "-".to_owned(), |name| format!("({name}"));
        let mut command = redis::cmd("ZRANGEBYLEX");
        command.arg(self.key("names")).arg(after).arg("+").arg("LIMIT").arg(0).arg(limit);
        let names: Vec<String> = self.link.ask(&command).await?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for name in &names {
            commands.cmd("HGET").arg(self.name_key(name)).arg("newest");
        }
        let ids: Vec<Option<String>> = self.link.ask_all(&commands).await?;
        self.all(ids.iter().flatten().filter_map(|id| id.parse().ok())).await
    }

    pub(in crate::store) async fn versions(&self, name: &str) -> Result<Vec<Arc<Function>>, Error> {
        let fields = self.name(name).await?;
        let number = |field: &str| field.strip_prefix("v:")?.parse::<u32>().ok();
        let mut versions: Vec<(u32, FunctionId)> =
            fields.iter().filter_map(|(field, id)| Some((number(field)?, id.parse().ok()?))).collect();
        versions.sort_by(|one, other| other.cmp(one));
        self.all(versions.into_iter().map(|(_, id)| id)).await
    }

    pub(in crate::store) async fn aliases(&self, name: &str) -> Result<Vec<(String, u32)>, Error> {
        let fields = self.name(name).await?;
        let version = |value: &str| value.split(' ').next()?.parse().ok();
        let mut aliases: Vec<(String, u32)> = fields
            .iter()
            .filter_map(|(field, value)| Some((field.strip_prefix("a:")?.to_owned(), version(value)?)))
            .collect();
        aliases.sort();
        Ok(aliases)
    }

    pub(in crate::store) async fn remove_function(&self, id: FunctionId) -> Result<bool, Error> {
        let removed: i64 = self.run(REMOVE.call().text(id)).await?;
        // Others learn of it by the script's message; this process need not wait for that.
        self.functions.forget(id);
        self.collect_garbage().await;
        Ok(removed == 1)
    }

    pub(in crate::store) async fn set_alias(&self, name: &str, alias: &str, version: u32) -> Result<Transition, Error> {
        let call = ALIAS.call().bytes(name.as_bytes()).bytes(alias.as_bytes()).text(version);
        let applied: i64 = self.run(call).await?;
        Ok(if applied == 1 { Transition::Applied } else { Transition::Stale })
    }

    async fn all(&self, ids: impl Iterator<Item = FunctionId>) -> Result<Vec<Arc<Function>>, Error> {
        let found = futures_util::future::try_join_all(ids.map(|id| self.function(id))).await?;
        // One that was removed meanwhile is left out.
        Ok(found.into_iter().flatten().collect())
    }

    async fn name(&self, name: &str) -> Result<Vec<(String, String)>, Error> {
        self.check_open()?;
        self.link.ask(redis::cmd("HGETALL").arg(self.name_key(name))).await
    }

    fn name_key(&self, name: &str) -> String {
        self.key(&format!("name:{name}"))
    }
}

fn unnumbered(new: NewFunction) -> Function {
    let NewFunction { name, package, index, entry, limits, isolation, description, registered_at_ms } = new;
    let id = FunctionId(uuid::Uuid::new_v4());
    Function { id, name, version: 0, package, index, entry, limits, isolation, description, registered_at_ms }
}
