//! The runner's executable; all of it is in the library, so that tests can build it too.

fn main() -> std::process::ExitCode {
    bulkhead_runner::main()
}
