"""The three measures and the two faults, in the same words for every system."""

import os
import signal
import statistics
import time
from collections.abc import Callable
from typing import Any

from system import FAULT_SECONDS, System

# Tasks of the batch that warms a system up, and from whose rate the size of the measured one follows.
WARM_UP_TASKS = 400
# Bounds of the measured batch.
LEAST_TASKS, MOST_TASKS = 200, 60_000
# Bounds of the calls one after the other; with fewer, a p99 says nothing.
LEAST_CALLS, MOST_CALLS = 200, 10_000
# The quiet before a single call.
QUIET_SECONDS = 1.0
# How long the function sleeps in whose middle its worker is killed.
SLEEP_SECONDS = 2.0


def throughput(system: System, variant: str, seconds: float) -> dict[str, Any]:
    """Submits as many tasks at once as the system should need so many seconds for."""
    started = time.perf_counter()
    system.batch(variant, WARM_UP_TASKS)
    rate = WARM_UP_TASKS / (time.perf_counter() - started)
    # Again, at the size of a third of the measured one: the first tasks are slower than the rest.
    count = bounded(rate * seconds / 3)
    started = time.perf_counter()
    system.batch(variant, count)
    count = bounded(count / (time.perf_counter() - started) * seconds)
    started, busy = time.perf_counter(), time.process_time()
    system.batch(variant, count)
    taken, busy = time.perf_counter() - started, time.process_time() - busy
    return {"tasks": count, "seconds": taken, "per_second": count / taken, "client_cpu_seconds": busy}


def bounded(tasks: float) -> int:
    """A batch of about so many tasks."""
    return max(LEAST_TASKS, min(MOST_TASKS, int(tasks)))


def in_a_row(system: System, variant: str, seconds: float) -> dict[str, Any]:
    """Calls one after the other, for so many seconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST_CALLS or (time.perf_counter() < end and len(times) < MOST_CALLS):
        times.append(timed(lambda: system.call(variant)))
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {"calls": len(times), "p50_ms": 1000 * cuts[49], "p99_ms": 1000 * cuts[98]}


def after_quiet(system: System, variant: str, calls: int) -> dict[str, Any]:
    """Single calls, each after a second in which nothing was asked."""
    times = []
    for _ in range(calls):
        time.sleep(QUIET_SECONDS)
        times.append(timed(lambda: system.call(variant)))
    return {"calls": calls, "p50_ms": 1000 * statistics.median(times)}


def timed(call: Callable[[], None]) -> float:
    """How many seconds it took."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def abort(system: System) -> dict[str, Any]:
    """A function ends its process; then a no-op, to see whether the system still stands."""
    marks = system.surroundings.marks()
    started = time.perf_counter()
    end = ended(system.submit_abort(marks))
    end["seconds"] = time.perf_counter() - started
    end["runs"] = system.runs(marks)
    end["next_call"] = ended(lambda _: system.call(system.variants[0]))["end"]
    return end


def kill(system: System) -> dict[str, Any]:
    """The process that runs a task gets SIGKILL in the middle of it."""
    marks = system.surroundings.marks()
    wait = system.submit_sleep(marks, SLEEP_SECONDS)
    os.kill(system.victim(marks), signal.SIGKILL)
    started = time.perf_counter()
    end = ended(wait)
    end["seconds"] = time.perf_counter() - started
    end["runs"] = system.runs(marks)
    return end


def ended(wait: Callable[[float], object]) -> dict[str, Any]:
    """How it ended: `result`, `error` or `hangs`, and its words."""
    started = time.perf_counter()
    try:
        value = wait(FAULT_SECONDS)
    except Exception as error:  # noqa: BLE001 - what a system raises is what is measured
        over = time.perf_counter() - started >= FAULT_SECONDS - 1
        words = str(error).strip().splitlines() or [""]
        return {"end": "hangs" if over else "error", "words": f"{type(error).__name__}: {words[-1]:.200}"}
    return {"end": "result", "words": str(value)}
