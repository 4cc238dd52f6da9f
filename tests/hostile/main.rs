//! The hostile suite, whole, on every ground that a server can stand on: run by root and by an ordinary user,
//! with control groups and without. Of each kind one test, so that they run side by side.

mod ordinary_crates;
mod side_by_side;

use std::sync::OnceLock;

use bulkhead_tests::hostile::{Act, Ground, Kind, run, table};
use bulkhead_tests::{Executables, Options, Packages, Server, Setting};

/// The executables under test.
fn executables() -> &'static Executables {
    static EXECUTABLES: OnceLock<Executables> = OnceLock::new();
    EXECUTABLES.get_or_init(|| Executables {
        bulkhead: env!("CARGO_BIN_EXE_bulkhead-under-test").into(),
        runner: env!("CARGO_BIN_EXE_bulkhead-runner-under-test").into(),
    })
}

/// The packages that all servers have.
fn packages() -> &'static Packages {
    static PACKAGES: OnceLock<Packages> = OnceLock::new();
    PACKAGES.get_or_init(|| Packages::of(executables(), &["hello", "faulty"]))
}

/// A server with the packages.
#[track_caller]
fn server(options: Options) -> Server {
    let server = Server::start(executables(), Setting::ALONE, options);
    for name in ["hello", "faulty"] {
        server.client().register(packages().get(name)).expect(201);
    }
    server
}

/// Does what all rows of a kind say, on a server of their own.
#[track_caller]
fn check(ground: Ground, kind: Kind) {
    let Some(options) = ground.options(Options::slots(1), executables()) else { return };
    let server = server(options);
    let table = table();
    run(&server, packages(), table.iter().filter(|row| row.kind == kind));
    server.stop();
}

/// A test for each kind.
macro_rules! tests_of {
    ($($name:ident: $kind:ident,)*) => {
        $(
            #[test]
            fn $name() {
                check(GROUND, Kind::$kind);
            }
        )*
    };
}

/// The tests on a ground.
macro_rules! tests_on {
    ($name:ident: $ground:expr) => {
        mod $name {
            use super::{Ground, Kind, check};

            const GROUND: Ground = $ground;

            tests_of! {
                packages_that_fail_to_load: LoadFailed,
                crashes_and_exits: CrashedOrExited,
                panics: Panicked,
                calls_that_never_end: TimedOut,
                floods_of_memory: OutOfMemory,
                floods_of_all_else: LimitExceeded,
                escapes: Errno,
                forbidden_system_calls: PolicyViolation,
                broken_promises: ProtocolViolation,
                traces_for_the_next_call: Independence,
            }
        }
    };
}

tests_on! { root_with_groups: Ground { root: true, groups: true } }
tests_on! { root_without_groups: Ground { root: true, groups: false } }
tests_on! { user_with_groups: Ground { root: false, groups: true } }
tests_on! { user_without_groups: Ground { root: false, groups: false } }

#[test]
fn every_faulty_function_is_in_the_table() {
    let server = server(Options::slots(1));
    let offered = server.client().get("/v1/functions").expect(200).json();
    let table = table();
    for function in offered["functions"].as_array().expect("a list") {
        let name = function["name"].as_str().expect("a name");
        let is_called = |act: &Act| matches!(act, Act::Call { function, .. } if *function == name);
        assert!(name == "hello" || table.iter().any(|row| is_called(&row.act)), "no row calls {name}");
    }
    server.stop();
}
