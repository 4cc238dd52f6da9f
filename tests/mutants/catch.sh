#!/usr/bin/env bash
# Breaks the dispatcher core on purpose, one patch at a time, and has the simulator find out: each mutant
# is built beside the simulator in a small workspace of its own. Fails when one is not caught.
#
#   tests/mutants/catch.sh [NAME…]      SCHEDULES=20000 FIRST=1 in the environment
set -euo pipefail

checkout=$(cd "$(dirname "$0")/../.." && pwd)
schedules=${SCHEDULES:-20000}
first=${FIRST:-1}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$checkout/target}/mutants
# The simulator runs many schedules for each build.
export CARGO_PROFILE_DEV_OPT_LEVEL=1

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The workspace of the checkout, with only what the simulator needs.
awk '
    /^members = \[/ { print "members = [\"host/protocol\", \"host/dispatch\", \"tests\"]"; skip = 1 }
    /^(default-members|exclude) = / { next }
    !skip { print }
    /^\]/ { skip = 0 }
' "$checkout/Cargo.toml" >"$folder/Cargo.toml"
cp "$checkout/Cargo.lock" "$folder/"
mkdir -p "$folder/host" "$folder/tests/harness" "$folder/tests/bin"
cp -r "$checkout/host/protocol" "$folder/host/"
cp -r "$checkout/tests/harness/simulator" "$folder/tests/harness/"
cp "$checkout/tests/bin/simulate.rs" "$folder/tests/bin/"
echo 'pub mod simulator;' >"$folder/tests/harness/mod.rs"
cat >"$folder/tests/Cargo.toml" <<'TOML'
[package]
name = "bulkhead-tests"
version = "0.1.0"
edition = "2024"

[lib]
path = "harness/mod.rs"

[[bin]]
name = "simulate"
path = "bin/simulate.rs"

[dependencies]
bulkhead-dispatch.workspace = true
bulkhead-protocol.workspace = true
uuid.workspace = true
TOML

# Builds the simulator over the core with a patch, or as it is, and runs it until it fails.
try() {
    local patch=$1
    rm -rf "$folder/host/dispatch"
    cp -r "$checkout/host/dispatch" "$folder/host/"
    if [ -n "$patch" ]; then
        patch --quiet --strip=1 --directory="$folder" <"$patch" || { echo 'does not apply'; return; }
    fi
    if ! RUSTFLAGS='--cap-lints allow' cargo build --quiet --offline --manifest-path "$folder/Cargo.toml" \
        --package bulkhead-tests 2>"$folder/errors"; then
        echo 'does not build'
        cat "$folder/errors" >&2
        return
    fi
    timeout 600 "$CARGO_TARGET_DIR/debug/simulate" --count "$schedules" --first "$first" --failures 1 2>/dev/null || true
}

missed=0
control=$(try '')
if ! grep -q '^no promise was broken' <<<"$control"; then
    echo "the core as it is fails already:"
    echo "$control"
    exit 1
fi
printf '%-40s %s\n' "(the core as it is)" "$(grep -m1 "schedules in" <<<"$control")"
for patch in "$checkout"/tests/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
        continue
    fi
    output=$(try "$patch")
    caught=$(sed -n 's/^FAILED after \([0-9]*\) schedules: \([A-Za-z]*\): \(.*\)$/caught after \1 schedules by \2: \3/p' <<<"$output" | head -n 1)
    if [ -z "$caught" ]; then
        caught="NOT CAUGHT ($(head -n 1 <<<"$output"))"
        missed=$((missed + 1))
    fi
    printf '%-40s %s\n' "$name" "$(cut -c1-150 <<<"$caught")"
done
if [ "$missed" -gt 0 ]; then
    echo "$missed not caught"
    exit 1
fi
