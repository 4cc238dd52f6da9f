//! What the tests run: the executables, and the packages of the sample functions.

use std::sync::OnceLock;

use bulkhead_tests::{Executables, Packages};

/// The executables under test.
pub(crate) fn executables() -> &'static Executables {
    static EXECUTABLES: OnceLock<Executables> = OnceLock::new();
    EXECUTABLES.get_or_init(|| Executables {
        bulkhead: env!("CARGO_BIN_EXE_bulkhead-under-test").into(),
        runner: env!("CARGO_BIN_EXE_bulkhead-runner-under-test").into(),
    })
}

/// The packages of the sample functions.
pub(crate) fn packages() -> &'static Packages {
    static PACKAGES: OnceLock<Packages> = OnceLock::new();
    PACKAGES.get_or_init(|| Packages::build(executables()))
}
