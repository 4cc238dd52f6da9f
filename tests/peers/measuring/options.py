"""What the user may ask for."""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PEERS = ("celery", "rq", "parsl", "ray")
BULKHEAD = ("bulkhead-pull", "bulkhead-push")
# The source checkout.
CHECKOUT = Path(__file__).resolve().parents[3]

EXAMPLES = """\
examples:
  tests/peers/run --quick                    everything, in about three minutes
  tests/peers/run --repeat 5 --json figures.json
  tests/peers/run celery rq                  Bulkhead beside these two
  tests/peers/run --faults                   a function that aborts, a worker that is killed
  tests/peers/run --cache ~/.cache/peers     install the peers once for many runs
"""


@dataclass(frozen=True)
class Options:
    """The command line, read."""

    # What is measured, in the order of the table.
    systems: tuple[str, ...]
    # How often each is measured.
    repeat: int
    # How long a batch and the calls one after the other should each take.
    seconds: float
    # Single calls after a second of quiet.
    quiet_calls: int
    # Whether faults are measured in place of speed.
    faults: bool
    # Where the results go as JSON.
    json: Path | None
    # Where the peers are installed; None is a folder of this run.
    cache: Path | None
    # The interpreter of the virtual environment.
    python: Path
    # The `bulkhead` that is measured.
    bulkhead: Path


def read() -> Options:
    """Reads the command line; ends the process when it cannot be used."""
    parser = argparse.ArgumentParser(
        prog="tests/peers/run",
        description="Measures Celery, RQ, Parsl and Ray beside Bulkhead on the same no-op work, in one run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(PEERS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="each once and shorter: shows that it works, not how fast")
    parser.add_argument(
        "--repeat", type=int, metavar="N", help="how often each is measured [default: 3; 1 with --quick]"
    )
    parser.add_argument(
        "--faults", action="store_true", help="measure what becomes of tasks whose process dies instead"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured to a file")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="keep the installed peers here [default: a new folder]"
    )
    parser.add_argument("--python", type=Path, metavar="FILE", default=default_python(), help="[default: %(default)s]")
    parser.add_argument(
        "--bulkhead", type=Path, metavar="FILE", default=default_bulkhead(), help="[default: %(default)s]"
    )
    given = parser.parse_args()
    unknown = [peer for peer in given.peers if peer not in PEERS]
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(PEERS)}")
    repeat = given.repeat if given.repeat is not None else 1 if given.quick else 3
    if repeat < 1:
        parser.error("--repeat: at least 1")
    if not given.bulkhead.is_file():
        parser.error(f"{given.bulkhead} is not there: `cargo build --release` makes it, or name one with --bulkhead")
    peers = tuple(peer for peer in PEERS if peer in given.peers or not given.peers)
    return Options(
        systems=BULKHEAD + peers,
        repeat=repeat,
        seconds=1.0 if given.quick else 3.0,
        quiet_calls=5 if given.quick else 10,
        faults=given.faults,
        json=given.json,
        cache=given.cache,
        python=given.python,
        bulkhead=given.bulkhead.resolve(),
    )


def default_python() -> Path:
    """The distribution's own Python, which is built with optimisation; others may not be."""
    distribution = Path("/usr/bin/python3")
    return distribution if distribution.exists() else Path(sys.executable)


def default_bulkhead() -> Path:
    """Where cargo puts a release."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return CHECKOUT / target / "release" / "bulkhead"
