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

# Tests of the built executables, in every mode and on every store
test-e2e:
    cargo test --package bulkhead-tests

# The suite in one setting: `just test-setting push_redis`, `just test-setting it tasks::`
test-setting SETTING *ARGS:
    cargo test --package bulkhead-tests --test {{ SETTING }} -- {{ ARGS }}

# Every hostile function, as root and as an ordinary user, with control groups and without: `just test-hostile user_`
test-hostile *ARGS:
    cargo test --package bulkhead-tests --test hostile -- {{ ARGS }}

# Tests with parts of a cluster killed, paused, cut off: `just test-faults dispatcher::`
test-faults *ARGS:
    cargo test --package bulkhead-tests --test faults -- {{ ARGS }}

# Memory and processes under cgroup version 2 alone: Debian's kernel under qemu, in two to four minutes
test-cgroup2:
    cargo test --package bulkhead-tests --test cgroup2 -- --nocapture

# How long recoveries take, one fault at a time (R1 to R4 of the measured promises)
measure-recovery:
    cargo test --package bulkhead-tests --test faults -- --nocapture --test-threads 1 \
        functions_that_end killed_in_mid_task killed_and_restarted killed_with_waiters paused_for_20_s

# Measure throughput, latency, scaling and recovery, and draw them: `just eval --quick`, `just eval --store redis`
eval *ARGS: runner
    {{ bulkhead }} eval {{ ARGS }}

# Time the hot paths one by one: codec, packages, dispatcher core, slot, check of libraries: `just micro slot`
micro *FILTER:
    cargo bench --workspace --bench '*' -- {{ FILTER }}

# Count the instructions of the hot paths under valgrind; more than a tenth above the committed figures fails. `--accept` commits to new ones
instructions *ARGS:
    cargo run --quiet --release --package bulkhead-instructions -- {{ ARGS }}

# Bulkhead beside Celery, RQ, Parsl and Ray from PyPI: `just peers --quick`, `just peers --faults celery`
peers *ARGS: runner
    cargo build --quiet --release --bin bulkhead
    tests/peers/run {{ ARGS }}

# Hold the hot paths against the floors of this machine: `just bench --quick`, `just bench p1 p3 --compare before.json`
bench *ARGS: runner
    {{ bulkhead }} bench {{ ARGS }}

# Random schedules of the dispatcher core in a simulated world: `just simulate 1000000`
simulate COUNT='100000' *ARGS:
    cargo run --quiet --release --package bulkhead-tests --bin simulate -- --count {{ COUNT }} {{ ARGS }}

# Hostile and healthy calls, mixed: leaks, mismatches, latencies. `just soak 1000000`, `just soak 1000 --user --json`
soak CALLS='100000' *ARGS: executables-under-test
    cargo run --quiet --release --package bulkhead-tests --bin soak -- {{ CALLS }} {{ ARGS }}

# The whole hostile table so often on every ground, and how often each row came to what it has to
hostile-runs RUNS='100' *ARGS: executables-under-test
    cargo run --quiet --release --package bulkhead-tests --bin soak -- --runs {{ RUNS }} {{ ARGS }}

[private]
executables-under-test:
    cargo build --quiet --release --package bulkhead-tests --bins

# Break the dispatcher core on purpose, one way at a time: the simulator must catch each
simulate-mutants *NAMES:
    tests/mutants/catch.sh {{ NAMES }}

# Fuzz what reads from hostile hands, on nightly: `just fuzz elf 60`; targets are in fuzz/fuzz_targets
fuzz TARGET SECONDS='60':
    cargo +nightly fuzz run {{ if TARGET =~ "^(elf|slot)$" { "--features host" } else { "" } }} {{ TARGET }} -- \
        -max_total_time={{ SECONDS }} -timeout=10 -rss_limit_mb=2048

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
