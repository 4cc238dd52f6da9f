//! The `bulkhead` executable.
fn main() -> std::process::ExitCode {
    bulkhead::cli::main()
}
