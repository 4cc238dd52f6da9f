//! `/v1/functions`: registration, listing, description, aliases, removal.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use bulkhead_protocol::function::{Function, FunctionDescription, FunctionRef, check_name};

use super::api::{
    Alias, AliasRequest, FunctionDetail, FunctionPage, FunctionSummary, FunctionVersions, Problem as ProblemBody,
    RegisteredFunction, RegisteredPackage, Removed, RemovedVersion, Timestamp,
};
use super::body::{Bound, read_json, require_media_type};
use super::problem::{Kind, Problem};
use super::query;
use super::registration::{self, Selection};
use super::state::Gateway;
use super::submission::resolve;
use crate::store::Transition;

/// Functions on a page when no `limit` is given.
const PAGE_FUNCTIONS: usize = 100;
/// Most functions on a page.
const MAX_PAGE_FUNCTIONS: usize = 1000;
/// Largest body of a request to move an alias.
const ALIAS_BOUND: Bound = Bound { name: "alias_request_bytes", bytes: 4096 };

/// Registers the functions of a package.
#[utoipa::path(
    post, path = "/v1/functions", tag = "functions",
    params(
        ("name" = Option<String>, Query, description = "Register one function: the exported one of this name, or the only one under this name."),
        ("alias" = Option<String>, Query, description = "Point this alias at each registered version."),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The package file."),
    responses(
        (status = 201, description = "Registered; at least one version is new.", body = RegisteredPackage),
        (status = 200, description = "All were registered already.", body = RegisteredPackage),
        (status = 400, description = "No package, or a damaged one.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than a package may be.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The package is refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn register(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<(StatusCode, Json<RegisteredPackage>), Problem> {
    require_media_type(request.headers(), &["application/octet-stream", "application/x-bulkhead-package"])?;
    let pairs = query::read(request.uri(), &["name", "alias"])?;
    let [name, alias] = ["name", "alias"].map(|name| query::get(&pairs, name).map(str::to_owned));
    let received = gateway.receiver.receive(request.into_body(), gateway.package_bound()).await?;
    let selection = Selection { name, alias: alias.clone() };
    let (package_id, registered) = registration::register(&gateway, received.bytes, received.share, selection).await?;
    let created = registered.iter().any(|registered| registered.created);
    let functions = registered.into_iter().map(|registered| RegisteredFunction {
        function_id: registered.function.id,
        name: registered.function.name.clone(),
        version: registered.function.version,
        created: registered.created,
        alias: alias.clone(),
    });
    let answer = RegisteredPackage { package_id, functions: functions.collect() };
    Ok((if created { StatusCode::CREATED } else { StatusCode::OK }, Json(answer)))
}

/// Lists the newest version of each function, by name.
#[utoipa::path(
    get, path = "/v1/functions", tag = "functions",
    params(
        ("limit" = Option<usize>, Query, description = "Most functions to list, 1 to 1000; 100 when absent."),
        ("cursor" = Option<String>, Query, description = "`cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page of functions.", body = FunctionPage),
        (status = 422, description = "A parameter is unknown or out of range.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, uri: Uri) -> Result<Json<FunctionPage>, Problem> {
    let pairs = query::read(&uri, &["limit", "cursor"])?;
    let limit = query::limit(&pairs, PAGE_FUNCTIONS, MAX_PAGE_FUNCTIONS)?;
    // One more than asked for tells whether another page follows.
    let mut functions = gateway.store.functions(query::get(&pairs, "cursor"), limit + 1).await?;
    let more = functions.len() > limit;
    functions.truncate(limit);
    let cursor = functions.last().filter(|_| more).map(|function| function.name.clone());
    let functions = functions.iter().map(|function| summary(function, Vec::new())).collect();
    Ok(Json(FunctionPage { functions, cursor }))
}

fn summary(function: &Function, aliases: Vec<String>) -> FunctionSummary {
    let doc = described(function).doc;
    FunctionSummary {
        function_id: function.id,
        name: function.name.clone(),
        version: function.version,
        package_id: function.package,
        summary: doc.trim().lines().next().unwrap_or_default().trim().to_owned(),
        isolation: function.isolation,
        registered_at: Timestamp::from_unix_ms(function.registered_at_ms),
        aliases,
    }
}

/// The author's description of a registered function.
fn described(function: &Function) -> FunctionDescription {
    serde_json::from_str(&function.description).unwrap_or_else(|error| {
        // Registration wrote it from this very type; an older server may have written another.
        tracing::error!(function_id = %function.id, %error, "a stored description cannot be read");
        FunctionDescription {
            name: function.entry.clone(),
            doc: String::new(),
            parameters: Vec::new(),
            input_schema: serde_json::Value::Null,
            output_schema: serde_json::Value::Null,
            limits: bulkhead_protocol::function::RequestedLimits::default(),
            isolation: None,
            network: None,
            processes: None,
            jit: None,
        }
    })
}

/// Describes a function.
#[utoipa::path(
    get, path = "/v1/functions/{reference}", tag = "functions",
    params(("reference" = String, Path, description = "`name`, `name@version`, `name:alias` or a function id.")),
    responses(
        (status = 200, description = "The function.", body = FunctionDetail),
        (status = 404, description = "Unknown function.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn describe(
    State(gateway): State<Arc<Gateway>>,
    Path(reference): Path<String>,
    uri: Uri,
) -> Result<Json<FunctionDetail>, Problem> {
    query::read(&uri, &[])?;
    let function = resolve(&gateway, &reference).await?;
    let versions = gateway.store.versions(&function.name).await?;
    let aliases = gateway.store.aliases(&function.name).await?;
    let description = described(&function);
    let alias = |(alias, version)| Alias { name: function.name.clone(), alias, version };
    Ok(Json(FunctionDetail {
        function_id: function.id,
        name: function.name.clone(),
        version: function.version,
        package_id: function.package,
        entry: function.entry.clone(),
        doc: description.doc,
        parameters: description.parameters,
        input_schema: description.input_schema,
        output_schema: description.output_schema,
        limits: function.limits.clone(),
        isolation: function.isolation,
        aliases: aliases.into_iter().map(alias).collect(),
        versions: versions.iter().map(|function| function.version).collect(),
        registered_at: Timestamp::from_unix_ms(function.registered_at_ms),
    }))
}

/// Lists the versions of a function, the newest first.
#[utoipa::path(
    get, path = "/v1/functions/{reference}/versions", tag = "functions",
    params(("reference" = String, Path, description = "The function's name.")),
    responses(
        (status = 200, description = "Its versions.", body = FunctionVersions),
        (status = 404, description = "Unknown function.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn versions(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<FunctionVersions>, Problem> {
    query::read(&uri, &[])?;
    let versions = gateway.store.versions(&name).await?;
    if versions.is_empty() {
        return Err(Problem::new(Kind::UnknownFunction, format!("there is no function named {name:.64}")));
    }
    let aliases = gateway.store.aliases(&name).await?;
    let versions = versions.iter().map(|function| {
        let own = aliases.iter().filter(|(_, version)| *version == function.version);
        summary(function, own.map(|(alias, _)| alias.clone()).collect())
    });
    Ok(Json(FunctionVersions { versions: versions.collect(), name }))
}

/// Removes one version (`name@version`, `name:alias` or a function id), or with a name all versions.
/// Version numbers are never given again.
#[utoipa::path(
    delete, path = "/v1/functions/{reference}", tag = "functions",
    params(("reference" = String, Path, description = "`name` (all versions), `name@version`, `name:alias` or a function id.")),
    responses(
        (status = 200, description = "What was removed.", body = Removed),
        (status = 404, description = "Unknown function.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Path(reference): Path<String>,
    uri: Uri,
) -> Result<Json<Removed>, Problem> {
    query::read(&uri, &[])?;
    let doomed = match reference.parse() {
        Ok(FunctionRef::Newest(name)) => gateway.store.versions(&name).await?,
        _ => vec![resolve(&gateway, &reference).await?],
    };
    let mut removed = Vec::with_capacity(doomed.len());
    for function in doomed {
        if gateway.store.remove_function(function.id).await? {
            tracing::info!(function_id = %function.id, name = function.name, version = function.version, "removed");
            let version = function.version;
            removed.push(RemovedVersion { function_id: function.id, name: function.name.clone(), version });
        }
    }
    if removed.is_empty() {
        return Err(Problem::new(Kind::UnknownFunction, format!("there is no function {reference:.128}")));
    }
    Ok(Json(Removed { removed }))
}

/// Points an alias at a version.
#[utoipa::path(
    put, path = "/v1/functions/{reference}/aliases/{alias}", tag = "functions",
    params(
        ("reference" = String, Path, description = "The function's name."),
        ("alias" = String, Path, description = "The alias, as in `name:alias`; made when missing."),
    ),
    request_body = AliasRequest,
    responses(
        (status = 200, description = "The alias means that version now.", body = Alias),
        (status = 404, description = "Unknown function or version.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The alias is no name, or a field is missing.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn set_alias(
    State(gateway): State<Arc<Gateway>>,
    Path((name, alias)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Alias>, Problem> {
    gateway.require_open()?;
    require_media_type(request.headers(), &["application/json"])?;
    check_name(&alias).map_err(|error| Problem::invalid("alias", error.to_string()))?;
    let received = gateway.receiver.receive(request.into_body(), ALIAS_BOUND).await?;
    let AliasRequest { version } = read_json(&received.bytes)?;
    match gateway.store.set_alias(&name, &alias, version).await? {
        Transition::Applied => Ok(Json(Alias { name, alias, version })),
        Transition::Stale => {
            Err(Problem::new(Kind::UnknownFunction, format!("there is no function {name:.64}@{version}")))
        }
    }
}
