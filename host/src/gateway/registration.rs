//! From bytes to registered functions. A package is taken apart and read here, but what it says of
//! itself is asked of it in a sandboxed runner: loading it runs code in it.

use std::sync::Arc;

use bulkhead_protocol::function::{FunctionDescription, Isolation, PackageDescription, check_name};
use bulkhead_protocol::id::PackageId;
use bulkhead_protocol::limits::{Grants, Limits};
use bulkhead_protocol::package as package_file;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::body::too_large;
use super::problem::{Kind, Problem};
use super::state::{Gateway, SyncRuns, unix_ms};
use crate::config::{FunctionCaps, milliseconds};
use crate::package;
use crate::store::{NewFunction, Registered};

/// Which functions of a package to register, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    /// One function: the exported one of this name, or the only one under this name. All under
    /// their own names when absent.
    pub(super) name: Option<String>,
    /// An alias to point at each.
    pub(super) alias: Option<String>,
}

/// Verifies a package and registers functions of it. `share` is the body's share of memory; it is
/// given back when the package is no longer held.
pub(super) async fn register(
    gateway: &Arc<Gateway>,
    package: Bytes,
    share: Option<OwnedSemaphorePermit>,
    selection: Selection,
) -> Result<(PackageId, Vec<Registered>), Problem> {
    gateway.require_open()?;
    for (field, name) in [("name", &selection.name), ("alias", &selection.alias)] {
        if let Some(name) = name {
            check_name(name).map_err(|error| Problem::invalid(field, error.to_string()))?;
        }
    }
    let size = package.len() as u64;
    let bound = gateway.package_bound();
    if size > bound.bytes {
        return Err(too_large(bound, Some(size)));
    }
    let gateway = Arc::clone(gateway);
    // A client that leaves in the middle must not leave a package without functions in the store.
    let registration = tokio::spawn(async move {
        let _share = share;
        register_now(&gateway, package, &selection).await
    });
    registration.await.unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a registration failed");
        Err(Problem::new(Kind::Internal, "the registration failed; the server's log says why"))
    })
}

async fn register_now(
    gateway: &Gateway,
    package: Bytes,
    selection: &Selection,
) -> Result<(PackageId, Vec<Registered>), Problem> {
    let closed = |_| Problem::new(Kind::ShuttingDown, "the server takes no new work");
    let _permit = gateway.registrations.acquire().await.map_err(closed)?;
    let (id, package_file::Package { manifest, library }) = take_apart(package.clone()).await?;
    // The library, the largest part, is dropped once it is on the disk.
    let inspected = gateway.inspector.inspect(library.into()).await?;
    let description = &inspected.description;
    check_agreement(&manifest, description)?;
    let new = select(description, id, selection)?
        .into_iter()
        .map(|(name, index)| new_function(gateway, name, id, index, &description.functions[index]))
        .collect::<Result<Vec<_>, _>>()?;
    gateway.store.put_package(id, package).await?;
    let registered = gateway.store.register(new).await?;
    if let Some(alias) = &selection.alias {
        for Registered { function, .. } in &registered {
            gateway.store.set_alias(&function.name, alias, function.version).await?;
        }
    }
    if let SyncRuns::Here(executor) = &gateway.sync_runs
        && let Err(error) = executor.keep(id, inspected).await
    {
        // The first call unpacks it then, and says so if it cannot.
        tracing::warn!(package_id = %id, error = &error as &dyn std::error::Error, "the library was not kept");
    }
    for Registered { function, created } in &registered {
        tracing::info!(function_id = %function.id, name = function.name, version = function.version, created, "registered");
    }
    Ok((id, registered))
}

/// Hashes, unpacks and checks off the threads that serve requests: a large package takes a second.
async fn take_apart(package: Bytes) -> Result<(PackageId, package_file::Package), Problem> {
    let taken = tokio::task::spawn_blocking(move || {
        let unpacked = package_file::unpack(&package)?;
        package::check_library(&unpacked.library)?;
        Ok((package_file::id_of(&package), unpacked))
    });
    taken.await.unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a package could not be taken apart");
        Err(Problem::new(Kind::Internal, "the package could not be taken apart; the server's log says why"))
    })
}

/// Checks that the manifest, which people read, says what the library says when it is asked.
fn check_agreement(manifest: &package_file::Manifest, description: &PackageDescription) -> Result<(), Problem> {
    let refused = |detail: String| Err(Problem::new(Kind::RefusedPackage, detail));
    package::check_description(description)?;
    let told: PackageDescription = match serde_json::from_str(&manifest.description) {
        Ok(told) => told,
        Err(error) => return refused(format!("the manifest's description cannot be read: {error}")),
    };
    if manifest.abi_version != description.abi_version {
        let (told, asked) = (manifest.abi_version, description.abi_version);
        return refused(format!("the manifest says ABI {told}, the library says ABI {asked}: rebuild the package"));
    }
    if told == *description {
        return Ok(());
    }
    let names = |description: &PackageDescription| {
        description.functions.iter().map(|function| function.name.clone()).collect::<Vec<_>>().join(", ")
    };
    let (told, asked) = (names(&told), names(description));
    if told == asked {
        return refused(
            "the manifest describes the functions otherwise than the library does: rebuild the package".to_owned(),
        );
    }
    refused(format!("the manifest lists the functions {told}, the library has {asked}: rebuild the package"))
}

/// Names to register, with their places in the package.
fn select(
    description: &PackageDescription,
    id: PackageId,
    selection: &Selection,
) -> Result<Vec<(String, usize)>, Problem> {
    let own_names = description.functions.iter().map(|function| function.name.clone());
    let Some(wanted) = &selection.name else {
        return Ok(own_names.enumerate().map(|(index, name)| (name, index)).collect());
    };
    match description.functions.iter().position(|function| function.name == *wanted) {
        Some(index) => Ok(vec![(wanted.clone(), index)]),
        None if description.functions.len() == 1 => Ok(vec![(wanted.clone(), 0)]),
        None => {
            let known: Vec<String> = own_names.collect();
            let detail = format!("package {id} has no function {wanted:?}; it has {}", known.join(", "));
            Err(Problem::new(Kind::UnknownEntry, detail).with_known(known))
        }
    }
}

fn new_function(
    gateway: &Gateway,
    name: String,
    package: PackageId,
    index: usize,
    description: &FunctionDescription,
) -> Result<NewFunction, Problem> {
    let json = serde_json::to_string(description)
        .map_err(|error| Problem::new(Kind::RefusedPackage, format!("its description cannot be kept: {error}")))?;
    Ok(NewFunction {
        name,
        package,
        index: u32::try_from(index).unwrap_or(u32::MAX),
        entry: description.name.clone(),
        limits: effective_limits(description, &gateway.defaults, &gateway.caps)?,
        isolation: effective_isolation(description, &gateway.caps)?,
        description: json,
        registered_at_ms: unix_ms(),
    })
}

/// What a call may use: what the author asks for over the defaults, refused beyond the caps.
fn effective_limits(
    description: &FunctionDescription,
    defaults: &Limits,
    caps: &FunctionCaps,
) -> Result<Limits, Problem> {
    let asked = &description.limits;
    let bounds = [
        ("timeout_ms", asked.timeout_ms, milliseconds(caps.timeout)),
        ("memory_bytes", asked.memory_bytes, caps.memory.0),
        ("cpu_ms", asked.cpu_ms, milliseconds(caps.cpu)),
        ("threads", asked.threads.map(u64::from), u64::from(caps.threads)),
        ("tmp_bytes", asked.tmp_bytes, caps.tmp.0),
    ];
    for (limit, asked, cap) in bounds {
        let Some(asked) = asked.filter(|asked| !(1..=cap).contains(asked)) else { continue };
        let name = &description.name;
        let detail = match asked {
            0 => format!("function {name} asks for {limit} = 0; the least is 1"),
            _ => format!("function {name} asks for {limit} = {asked}; this server's cap is {cap}"),
        };
        return Err(Problem::over_limit(Kind::LimitAboveCap, limit, cap, Some(asked), detail));
    }
    let limits = Limits { grants: effective_grants(description, caps)?, ..asked.over(defaults) };
    // Processor time counts by process: a default of the server's must not end some later call.
    let kept = description.isolation == Some(Isolation::Reuse);
    Ok(if kept { Limits { cpu_ms: None, ..limits } } else { limits })
}

/// What the author asks for beyond what every function may do, refused where this server does not grant it.
fn effective_grants(description: &FunctionDescription, caps: &FunctionCaps) -> Result<Grants, Problem> {
    let asked = description.grants();
    for (grant, asked, cap) in [
        ("network", asked.network, caps.network),
        ("processes", asked.processes, caps.processes),
        ("jit", asked.jit, caps.jit),
    ] {
        if asked && !cap {
            let name = &description.name;
            let detail = format!("function {name} asks for {grant} = true; this server's cap is caps.{grant} = false");
            return Err(Problem::over_limit(Kind::LimitAboveCap, grant, 0, Some(1), detail));
        }
    }
    Ok(asked)
}

/// How far calls are kept apart: as the author asks, refused below the weakest that this server runs. Who
/// asks for nothing gets `fresh`, or what is stricter.
fn effective_isolation(description: &FunctionDescription, caps: &FunctionCaps) -> Result<Isolation, Problem> {
    let weakest = caps.isolation;
    match description.isolation {
        Some(asked) if asked.strength() < weakest.strength() => {
            let (name, asked_word, weakest_word) = (&description.name, asked.as_str(), weakest.as_str());
            let detail = format!(
                "function {name} asks for isolation = \"{asked_word}\"; this server's cap is caps.isolation = \
                 \"{weakest_word}\""
            );
            let (value, asked) = (u64::from(weakest.strength()), u64::from(asked.strength()));
            Err(Problem::over_limit(Kind::LimitAboveCap, "isolation", value, Some(asked), detail))
        }
        Some(asked) => Ok(asked),
        None if weakest == Isolation::Exec => Ok(Isolation::Exec),
        None => Ok(Isolation::default()),
    }
}

#[cfg(test)]
mod tests;
