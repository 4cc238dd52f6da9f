"""Measures every system once in each round, so that a machine that grows slower does so for all."""

import os
import platform
import time
from pathlib import Path
from typing import Any

from measuring.options import Options
from measuring.session import Session


def measure(options: Options, interpreter: Path, packages: Path, folder: Path, rows: list[dict[str, Any]]) -> None:
    """All rounds; adds a row for each system, each way to use it, each round."""
    for number in range(options.repeat):
        # Every second round goes the other way round: nobody is always the first.
        order = options.systems if number % 2 == 0 else options.systems[::-1]
        for name in order:
            print(f"round {number + 1} of {options.repeat}: {name}", flush=True)
            with Session(name, options, interpreter, packages, folder / f"{number}-{name}") as session:
                rows += [{"round": number, **row} for row in speed(session, options)]


def speed(session: Session, options: Options) -> list[dict[str, Any]]:
    """The three measures of one system, in each way to use it."""
    started = session.ask("start")
    rows = []
    for variant in started["variants"]:
        load_before = os.getloadavg()[0]
        rows.append(
            {
                "system": session.name,
                "variant": variant,
                "version": started["version"],
                "throughput": session.ask("throughput", variant=variant, seconds=options.seconds),
                "in_a_row": session.ask("in_a_row", variant=variant, seconds=options.seconds),
                "after_quiet": session.ask("after_quiet", variant=variant, calls=options.quiet_calls),
                "load_average": [load_before, os.getloadavg()[0]],
            }
        )
    return rows


def measure_faults(
    options: Options, interpreter: Path, packages: Path, folder: Path, rows: list[dict[str, Any]]
) -> None:
    """Both faults, each in a system that has seen nothing else; adds a row for each."""
    for number in range(options.repeat):
        for name in options.systems:
            for fault in ["abort", "kill"]:
                print(f"round {number + 1} of {options.repeat}: {name}, {fault}", flush=True)
                with Session(name, options, interpreter, packages, folder / f"{number}-{name}-{fault}") as session:
                    started = session.ask("start")
                    # A task before it, so that what only the first one costs is not measured.
                    session.ask("throughput", variant=started["variants"][0], seconds=0)
                    end = session.ask(fault)
                    row = {"round": number, "system": name, "version": started["version"], "fault": fault, **end}
                    rows.append(row)


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load_average": os.getloadavg(),
    }
