//! What is known of a function: its author's description and its registered record.

use serde::{Deserialize, Serialize};

use crate::id::{FunctionId, PackageId};
use crate::limits::{Grants, Limits, MAX_NAME_BYTES};

/// How far the calls of a function are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A new process for each call, forked ahead.
    #[default]
    Fresh,
    /// A warm process serves many calls; nothing is promised between them.
    Reuse,
    /// A whole new sandbox for each call.
    Exec,
}

impl Isolation {
    /// How far calls are kept apart, in order: 0 for the least.
    pub fn strength(self) -> u8 {
        match self {
            Self::Reuse => 0,
            Self::Fresh => 1,
            Self::Exec => 2,
        }
    }

    /// The word used in manifests, on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Reuse => "reuse",
            Self::Exec => "exec",
        }
    }
}

/// What a package says of itself, as JSON, when it is asked inside a sandbox. The SDK writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackageDescription {
    /// The ABI that the package was built against.
    pub abi_version: u32,
    /// The SDK that the package was built with.
    pub sdk_version: String,
    /// Its functions, in the order of their index.
    pub functions: Vec<FunctionDescription>,
    /// What keeps the package from being used, in the SDK's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What an author says of a function; what is absent takes the platform's default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionDescription {
    /// Its name within the package.
    pub name: String,
    /// The doc comment, Markdown.
    #[serde(default)]
    pub doc: String,
    /// Its parameters in order.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// JSON Schema of the argument object.
    #[serde(default)]
    pub input_schema: serde_json::Value,
    /// JSON Schema of the result.
    #[serde(default)]
    pub output_schema: serde_json::Value,
    /// Limits that the author asks for.
    #[serde(default)]
    pub limits: RequestedLimits,
    /// Isolation that the author asks for.
    #[serde(default)]
    pub isolation: Option<Isolation>,
    /// Whether the function needs the network.
    #[serde(default)]
    pub network: Option<bool>,
    /// Whether the function makes processes.
    #[serde(default)]
    pub processes: Option<bool>,
    /// Whether the function makes memory executable.
    #[serde(default)]
    pub jit: Option<bool>,
}

impl FunctionDescription {
    /// What the author asks for beyond what every function may do.
    pub fn grants(&self) -> Grants {
        Grants {
            network: self.network == Some(true),
            processes: self.processes == Some(true),
            jit: self.jit == Some(true),
        }
    }
}

/// One parameter of a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// JSON Schema of its values.
    pub schema: serde_json::Value,
    /// Whether a call must give it.
    pub required: bool,
}

/// Limits as an author or a registration asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestedLimits {
    /// See [`Limits::timeout_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// See [`Limits::memory_bytes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// See [`Limits::cpu_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// See [`Limits::threads`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// See [`Limits::tmp_bytes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp_bytes: Option<u64>,
}

impl RequestedLimits {
    /// `base` with what was asked for in its place.
    pub fn over(&self, base: &Limits) -> Limits {
        Limits {
            timeout_ms: self.timeout_ms.unwrap_or(base.timeout_ms),
            memory_bytes: self.memory_bytes.unwrap_or(base.memory_bytes),
            cpu_ms: self.cpu_ms.or(base.cpu_ms),
            threads: self.threads.unwrap_or(base.threads),
            tmp_bytes: self.tmp_bytes.unwrap_or(base.tmp_bytes),
            ..base.clone()
        }
    }
}

/// A registered function: immutable once it has an id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Its id.
    pub id: FunctionId,
    /// The name it was registered under.
    pub name: String,
    /// 1, 2, 3 … per name.
    pub version: u32,
    /// The package that holds it.
    pub package: PackageId,
    /// Its place in the package's description.
    pub index: u32,
    /// Its name within the package.
    pub entry: String,
    /// What one call may use.
    pub limits: Limits,
    /// How far its calls are kept apart.
    pub isolation: Isolation,
    /// The author's description as JSON text of a [`FunctionDescription`]; text, because the
    /// binary codec cannot carry free-form JSON.
    pub description: String,
    /// Milliseconds since the Unix epoch.
    pub registered_at_ms: u64,
}

/// A name that cannot be given to a function or an alias.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not a name: use 1 to {MAX_NAME_BYTES} letters, digits, '-' and '_', with a letter or '_' in front"
)]
pub struct InvalidName {
    /// What was given.
    pub name: String,
}

/// Checks the name of a function or an alias.
///
/// # Errors
/// [`InvalidName`] with what was given.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let spelled_well = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if starts_well && spelled_well && name.len() <= MAX_NAME_BYTES {
        return Ok(());
    }
    // A client's name comes back in the error, so its length is bounded here as well.
    Err(InvalidName { name: name.chars().take(2 * MAX_NAME_BYTES).collect() })
}

/// How a client points at a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionRef {
    /// By id.
    Id(FunctionId),
    /// The newest version of a name.
    Newest(String),
    /// `name@version`.
    Version(String, u32),
    /// `name:alias`.
    Alias(String, String),
}

impl std::str::FromStr for FunctionRef {
    type Err = InvalidFunctionRef;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidFunctionRef { given: text.chars().take(2 * MAX_NAME_BYTES).collect() };
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let (name, rest) = match text.split_once(['@', ':']) {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        check_name(name).map_err(|_| invalid())?;
        let name = name.to_owned();
        match rest {
            None => Ok(Self::Newest(name)),
            Some(version) if text.contains('@') => match version.parse() {
                Ok(version) if version > 0 => Ok(Self::Version(name, version)),
                _ => Err(invalid()),
            },
            Some(alias) => {
                check_name(alias).map_err(|_| invalid())?;
                Ok(Self::Alias(name, alias.to_owned()))
            }
        }
    }
}

/// The text points at no function in any of the known ways.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no function reference: use name, name@version, name:alias or a function id")]
pub struct InvalidFunctionRef {
    /// What was given.
    pub given: String,
}

impl std::fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Newest(name) => f.write_str(name),
            Self::Version(name, version) => write!(f, "{name}@{version}"),
            Self::Alias(name, alias) => write!(f, "{name}:{alias}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_and_beyond_their_bounds() {
        assert!(check_name(&"a".repeat(MAX_NAME_BYTES)).is_ok());
        assert!(check_name(&"a".repeat(MAX_NAME_BYTES + 1)).is_err());
        for wrong in ["", "-a", "1a", "a b", "a/b", "é", "a@1", "a:b"] {
            assert!(check_name(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn references_read_back_as_written() {
        for text in ["resize", "resize@3", "resize:prod", "67e55044-10b1-426f-9247-bb680e5fe0c8"] {
            assert_eq!(text.parse::<FunctionRef>().unwrap().to_string(), text);
        }
        for wrong in ["", "a@", "a@0", "a@-1", "a@x", "a:", ":b", "a:b:c", "a@1:b"] {
            assert!(wrong.parse::<FunctionRef>().is_err(), "{wrong:?} was taken");
        }
    }
}
