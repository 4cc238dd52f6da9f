//! Functions: registration, listing, description, aliases.

use bulkhead_protocol::function::{Isolation, Parameter};
use bulkhead_protocol::id::{FunctionId, PackageId};
use bulkhead_protocol::limits::Limits;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

/// Answer of `POST /v1/functions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisteredPackage {
    /// SHA-256 of the package's bytes.
    #[schema(value_type = String)]
    pub package_id: PackageId,
    /// What was registered, in the order of the package.
    pub functions: Vec<RegisteredFunction>,
}

/// One function of a registered package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisteredFunction {
    /// The registered version.
    pub function_id: FunctionId,
    /// Its name.
    pub name: String,
    /// 1, 2, 3 … per name.
    pub version: u32,
    /// False when the newest version was the same function of the same package already.
    pub created: bool,
    /// The alias that was pointed at it, when one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// One version of a function, in listings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionSummary {
    /// Its id.
    pub function_id: FunctionId,
    /// Its name.
    pub name: String,
    /// 1, 2, 3 … per name.
    pub version: u32,
    /// SHA-256 of its package.
    #[schema(value_type = String)]
    pub package_id: PackageId,
    /// First line of its documentation.
    pub summary: String,
    /// How far its calls are kept apart.
    pub isolation: Isolation,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Aliases that mean this version. Filled in the list of versions, empty in the list of functions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// Answer of `GET /v1/functions`: the newest version of each name, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionPage {
    /// The functions.
    pub functions: Vec<FunctionSummary>,
    /// Give it as `cursor` for the next page; null at the end.
    pub cursor: Option<String>,
}

/// Answer of `GET /v1/functions/{name}/versions`, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionVersions {
    /// The name.
    pub name: String,
    /// Its versions.
    pub versions: Vec<FunctionSummary>,
}

/// Answer of `GET /v1/functions/{ref}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunctionDetail {
    /// Its id.
    pub function_id: FunctionId,
    /// Its name.
    pub name: String,
    /// 1, 2, 3 … per name.
    pub version: u32,
    /// SHA-256 of its package.
    #[schema(value_type = String)]
    pub package_id: PackageId,
    /// Its name within the package.
    pub entry: String,
    /// The author's documentation, Markdown.
    pub doc: String,
    /// Its parameters in order.
    pub parameters: Vec<Parameter>,
    /// JSON Schema of the argument object.
    pub input_schema: serde_json::Value,
    /// JSON Schema of the result.
    pub output_schema: serde_json::Value,
    /// What one call may use.
    pub limits: Limits,
    /// How far its calls are kept apart.
    pub isolation: Isolation,
    /// The aliases of its name with their versions.
    pub aliases: Vec<Alias>,
    /// All versions of its name, the newest first.
    pub versions: Vec<u32>,
    /// When it was registered.
    pub registered_at: Timestamp,
}

/// Body of `PUT /v1/functions/{name}/aliases/{alias}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasRequest {
    /// The version that the alias shall mean.
    pub version: u32,
}

/// A movable name for a version; answer of `PUT /v1/functions/{name}/aliases/{alias}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alias {
    /// The function's name.
    pub name: String,
    /// The alias, as in `name:alias`.
    pub alias: String,
    /// The version that it means.
    pub version: u32,
}

/// Answer of `DELETE /v1/functions/{ref}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Removed {
    /// The versions that are gone. A name alone means all of its versions.
    pub removed: Vec<RemovedVersion>,
}

/// A version that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovedVersion {
    /// Its id.
    pub function_id: FunctionId,
    /// Its name.
    pub name: String,
    /// Its number, which is never given again.
    pub version: u32,
}
