# The menu: `just` lists it.

# What `bulkhead` is called in the recipes below: built once, then as fast as users have it.
bulkhead := "cargo run --quiet --release --bin bulkhead --"

[private]
default:
    @{{ just_executable() }} --list --unsorted

# The runner is a separate executable beside `bulkhead`.
[private]
runner:
    cargo build --quiet --release --package bulkhead-runner

# Start a server: `just up --samples`, `just up --port 9000`
up *ARGS: runner
    {{ bulkhead }} up {{ ARGS }}

# Build a sample function into a package: `just build-fn hello`
build-fn NAME *ARGS: runner
    {{ bulkhead }} build sample-functions/{{ NAME }} {{ ARGS }}

# Build a sample function and register it with a running server: `just register hello --alias prod`
register NAME *ARGS: runner
    {{ bulkhead }} register sample-functions/{{ NAME }} {{ ARGS }}

# All tests
test: test-unit test-e2e

# Tests beside the code, of every crate
test-unit:
    cargo test --workspace --exclude bulkhead-tests

# Tests of the built executables
test-e2e:
    cargo test --package bulkhead-tests

# What the CI refuses: other formatting, lints, broken links in the documentation
lint: && doc
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- --deny warnings

# The documentation of every crate
doc:
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps

# Format everything
fmt:
    cargo fmt --all
