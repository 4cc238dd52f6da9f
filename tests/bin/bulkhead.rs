//! `bulkhead` as the tests run it: a test package cannot see another package's executables.

fn main() -> std::process::ExitCode {
    bulkhead::cli::main()
}
