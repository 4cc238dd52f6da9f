//! Checks what a package says of its functions, once it was asked inside a sandbox.

use std::collections::HashSet;

use bulkhead_protocol::function::{InvalidName, Isolation, PackageDescription, check_name};
use bulkhead_protocol::limits::MAX_FUNCTIONS_PER_PACKAGE;

/// Most characters of the SDK's own words that are passed on.
const MAX_REASON_CHARS: usize = 1024;

/// Why a package's functions cannot be registered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has no function.
    #[error("the package has no function: put #[bulkhead::function] on one")]
    NoFunction,
    /// It has more than [`MAX_FUNCTIONS_PER_PACKAGE`].
    #[error("the package has {count} functions, the limit is {MAX_FUNCTIONS_PER_PACKAGE}: split the crate")]
    TooManyFunctions {
        /// How many it has.
        count: usize,
    },
    /// Two functions have one name.
    #[error("two functions of the package are called {name:?}: rename one, or give it `name = \"…\"` in its attribute")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A function has a name that cannot be registered.
    #[error("a function of the package has an invalid name")]
    InvalidName(#[source] InvalidName),
    /// A function limits its processor time and keeps its process: the kernel counts by process, so
    /// the limit would end some later call.
    #[error(
        "the function {name} has isolation \"reuse\" and a limit on processor time, which counts over all calls of a \
         process: remove `cpu`, or use \"fresh\""
    )]
    ProcessorTimeInReuse {
        /// The function.
        name: String,
    },
    /// A function makes processes and keeps its own: they would have no call to end with.
    #[error(
        "the function {name} has isolation \"reuse\" and asks for processes, which end with the process of their \
         call: remove `processes`, or use \"fresh\""
    )]
    ProcessesInReuse {
        /// The function.
        name: String,
    },
    /// The SDK could not describe them.
    #[error("the package cannot describe its functions: {reason}")]
    Undescribed {
        /// Why, in the SDK's words.
        reason: String,
    },
}

/// Checks that a package has functions that can be registered: at least one, not too many, each
/// under a valid name of its own.
///
/// # Errors
/// See [`Error`].
pub fn check_description(description: &PackageDescription) -> Result<(), Error> {
    let count = description.functions.len();
    if count == 0 && description.error.is_none() {
        return Err(Error::NoFunction);
    }
    if count > MAX_FUNCTIONS_PER_PACKAGE {
        return Err(Error::TooManyFunctions { count });
    }
    let mut names = HashSet::new();
    for function in &description.functions {
        check_name(&function.name).map_err(Error::InvalidName)?;
        if !names.insert(function.name.as_str()) {
            return Err(Error::DuplicateName { name: function.name.clone() });
        }
        if function.isolation == Some(Isolation::Reuse) && function.limits.cpu_ms.is_some() {
            return Err(Error::ProcessorTimeInReuse { name: function.name.clone() });
        }
        if function.isolation == Some(Isolation::Reuse) && function.processes == Some(true) {
            return Err(Error::ProcessesInReuse { name: function.name.clone() });
        }
    }
    match &description.error {
        Some(reason) => Err(Error::Undescribed { reason: reason.chars().take(MAX_REASON_CHARS).collect() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(names: &[&str]) -> PackageDescription {
        let functions = names.iter().map(|name| serde_json::json!({"name": name})).collect::<Vec<_>>();
        let json = serde_json::json!({"abi_version": 1, "sdk_version": "0.1.0", "functions": functions});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn names_are_valid_and_unique() {
        assert_eq!(check_description(&description(&["a", "b"])), Ok(()));
        assert_eq!(check_description(&description(&[])), Err(Error::NoFunction));
        let twice = check_description(&description(&["a", "b", "a"]));
        assert_eq!(twice, Err(Error::DuplicateName { name: "a".to_owned() }));
        assert!(matches!(check_description(&description(&["a b"])), Err(Error::InvalidName(_))));
    }

    #[test]
    fn processor_time_is_limited_only_where_a_process_is_one_call() {
        let mut asks = description(&["a"]);
        asks.functions[0].limits.cpu_ms = Some(1000);
        assert_eq!(check_description(&asks), Ok(()));
        asks.functions[0].isolation = Some(Isolation::Reuse);
        assert_eq!(check_description(&asks), Err(Error::ProcessorTimeInReuse { name: "a".to_owned() }));
    }

    #[test]
    fn processes_are_made_only_where_a_process_is_one_call() {
        let mut asks = description(&["a"]);
        asks.functions[0].processes = Some(true);
        assert_eq!(check_description(&asks), Ok(()));
        asks.functions[0].isolation = Some(Isolation::Reuse);
        assert_eq!(check_description(&asks), Err(Error::ProcessesInReuse { name: "a".to_owned() }));
    }

    #[test]
    fn the_sdk_s_own_complaint_is_passed_on() {
        let complaint = PackageDescription { error: Some("why".to_owned()), ..description(&[]) };
        assert_eq!(check_description(&complaint), Err(Error::Undescribed { reason: "why".to_owned() }));
    }

    #[test]
    fn the_number_of_functions_has_a_bound() {
        let names: Vec<String> = (0..=MAX_FUNCTIONS_PER_PACKAGE).map(|index| format!("f{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(check_description(&description(&names[1..])), Ok(()));
        let count = MAX_FUNCTIONS_PER_PACKAGE + 1;
        assert_eq!(check_description(&description(&names)), Err(Error::TooManyFunctions { count }));
    }
}
